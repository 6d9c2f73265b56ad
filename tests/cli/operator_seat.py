"""Where an operator sits: a terminal in the directory in which `make run` was started, with nothing set."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx

from tests.suite.local_suite import Home

STORES = 4


@contextmanager
def seat_beside(home: Home) -> Iterator["OperatorSeat"]:
    """A seat beside the suite of this home, which serves."""
    with httpx.Client(base_url=home.sandbox, trust_env=False) as sandbox:
        yield OperatorSeat(home, sandbox)


class OperatorSeat:
    """Runs `tokhub` beside a running suite; whatever it prints holds no token of the sandbox."""

    def __init__(self, home: Home, sandbox: httpx.Client) -> None:
        self.home = home
        self.sandbox = sandbox
        self._numbers = count(1)
        self._sellers = count(1)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home.path), "GRPC_VERBOSITY": "NONE"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cli", *arguments]

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.home.path,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "CNRY" not in ended.stdout + ended.stderr
        return ended

    def says(self, *arguments: str, **environment: str) -> str:
        """Return what a command that ends well prints."""
        ended = self.run(*arguments, **environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        """Return what a command prints for programs."""
        return json.loads(self.says(*arguments, "--json"))

    def account_of(self, store: str) -> str:
        """Return the TikTok account that a store is connected to."""
        account: str = self.json("connections", "explain", store)["connection"]["accountId"]
        return account

    def new_store(self) -> str:
        """Add a store that no other test has."""
        code = f"mine_{next(self._numbers)}"
        self.says("stores", "add", code, "--name", "Mine", "--pic", "Me")
        return code

    def new_seller(self) -> str:
        """Return the username of a seller with one shop, whom no other test has."""
        return f"seller_{next(number for number in self._sellers if number % 3):04}"

    def listed_shop(self, seller: str, *, team: int = 1) -> dict[str, str]:
        """Return the variables of another system's `.env` that hold a new grant of a seller."""
        grant = self.sandbox.post(f"/sandbox/sellers/{seller}/grant", json={}).raise_for_status().json()
        shop = f"TIKTOK_SHOP{100 + next(self._numbers)}"
        return {
            f"{shop}_ACCESS_TOKEN": grant["access_token"],
            f"{shop}_REFRESH_TOKEN": grant["refresh_token"],
            f"{shop}_NAME": f"Shop of {seller}",
            f"{shop}_TEAM_ID": str(team),
        }

    def team_of_shops(self, *sellers: str) -> tuple[int, list[int]]:
        """Take over shops as a team of their own; return it, and the connections' numbers in the sellers' order."""
        team, listed = 1_000 + next(self._numbers), dict[str, str]()
        for seller in sellers:
            listed |= self.listed_shop(seller, team=team)
        taken = json.loads(self.says("db", "populate", "--json", **listed))
        numbers = {one["id"]: int(one["number"]) for one in self.json("connections", "list", "--product", "shop")}
        return team, [numbers[one["connectionId"]] for one in taken]

    def fault(self, kind: str, **more: object) -> None:
        """Script a fault for the next call that it fits."""
        self.sandbox.post("/sandbox/faults", json={"kind": kind, **more}).raise_for_status()
