"""A real `python -m sandbox` for tests: one process per pytest process, with accounts enough for every test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

# No answer is held back unless a test asks for it, and no limit is reached by tests running side by side.
_ENVIRONMENT = {"SANDBOX_PORT": "0", "SANDBOX_ACCOUNTS": "2000", "SANDBOX_RATE_LIMIT": "1000000"}
_ENVIRONMENT |= {"SANDBOX_SELLERS": "600", "SANDBOX_SHOP_RATE_LIMIT": "1000000"}


class SandboxProcess:
    """A TikTok on this machine; control is a client of its control API and of everything else it serves.

    Switches, faults for every account and the clock are shared by all tests of the process: use faults of one account
    where they will do, and undo the rest. A token may be spent by any app that has the key and the secret.
    """

    client_key = "sbawtokhubsandbox"
    client_secret = "CNRYsandboxclientsecret"
    shop_app_key = "6sandboxshop"
    shop_app_secret = "CNRYsandboxshopsecret"
    shop_service_id = "7400000000000000001"
    redirect_uri = "http://127.0.0.1:3000/auth/tiktok/callback"

    def __init__(self, url: str, control: httpx.Client) -> None:
        self.url = url
        self.authorize_url = f"{url}/v2/auth/authorize/"
        self.control = control
        self.shop_authorize_url = f"{url}/open/authorize"
        self._numbers = count(1)
        self._sellers = count(1)

    def next_seller(self, *, shops: int = 1) -> str:
        """Return the username of a seller that no other test has, with one shop or three."""
        number = next(one for one in self._sellers if (one % 3 == 0) == (shops == 3))
        return f"seller_{number:04}"

    def next_account(self) -> str:
        """Return the username of an account that no other test has."""
        return f"store_{next(self._numbers):04}"

    def open_id(self, account: str) -> str:
        """Return TikTok's id of an account for this app."""
        found = self.control.get("/sandbox/accounts", params={"q": account}).json()["accounts"]
        return next(str(one["open_id"]) for one in found if one["username"] == account)

    def consent(self, authorize_url: str, account: str, *, without: tuple[str, ...] = ()) -> dict[str, str]:
        """Let the account's owner agree on the page, permissions in `without` switched off; return what comes back."""
        page = self.control.get(authorize_url, headers={"Accept": "application/json"}).raise_for_status().json()
        scopes = [scope for scope in page["scopes"] if scope not in without]
        form = {"ticket": page["ticket"], "account": account, "scopes": scopes, "decision": "authorize"}
        answer = self.control.post(page["consent_url"], data=form)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    def agree(self, authorize_url: str, seller: str) -> dict[str, str]:
        """Let a seller agree on the page of TikTok Shop; return what comes back."""
        page = self.control.get(authorize_url, headers={"Accept": "application/json"}).raise_for_status().json()
        form = {"ticket": page["ticket"], "account": seller, "decision": "authorize"}
        answer = self.control.post(page["consent_url"], data=form)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    def fault(self, kind: str, account: str, **more: object) -> None:
        """Script a fault for the next calls of one account."""
        fault = json.dumps({"kind": kind, "open_id": account, **more})  # NaN included, which httpx would not send
        self.control.post("/sandbox/faults", content=fault).raise_for_status()

    def ledger(self, account: str) -> dict[str, Any]:
        """Return the counters of one account, its grants and the refresh token that works now."""
        found: dict[str, Any] = self.control.get(f"/sandbox/ledger/accounts/{account}").raise_for_status().json()
        return found


@contextmanager
def running_sandbox(**settings: str) -> Iterator[SandboxProcess]:
    """A sandbox of one's own; settings are named as its variables are."""
    root = Path(__file__).parents[1]
    environment = {"PATH": os.environ["PATH"], **_ENVIRONMENT, **settings}
    command = (sys.executable, "-m", "sandbox")
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        try:
            with httpx.Client(base_url=url, trust_env=False) as control:
                yield SandboxProcess(url, control)
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxProcess]:
    """The running sandbox of this pytest process."""
    with running_sandbox() as process:
        yield process
