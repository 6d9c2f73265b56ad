"""The shipped gateway of a case as processes that can be killed, paused and asked over HTTP."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil

from libs.errors import Reason
from libs.settings import read_variable
from services.gateway.errors import WORDS
from tests.faults.history import History
from tests.faults.processes import ServiceProcess

PATIENCE = 60.0  # seconds that an answer may take on a busy machine
# Limits that no case meets by accident; without a value the gateway has those it ships with.
NO_LIMITS = dict.fromkeys(
    ("RATE_LIMIT_ADMIN_PER_MINUTE", "RATE_LIMIT_OAUTH_PER_MINUTE", "AUTH_MAX_FAILURES"), "1000000"
)
SHIPPED_LIMITS = dict.fromkeys(NO_LIMITS, "")
PAGE, EVENTS = "text/html", "text/event-stream"
CODES = {WORDS.get(reason, reason.value) for reason in Reason} | {"NOT_FOUND", "SYNC_FAILED", PAGE}


class GatewayReplica(ServiceProcess):
    """One process of the gateway; what it answered stands in a file beside its log, event streams aside."""

    program = "services.gateway"

    def __init__(self, name: str, environ: Mapping[str, str], directory: Path, history: History) -> None:
        super().__init__(name, environ, directory, history)
        self._answers = directory / f"{name}.answers"
        self._clients = AsyncExitStack()
        self._refusals: Counter[tuple[int, str]] = Counter()

    @property
    def key(self) -> str:
        """The operators' key."""
        return read_variable("ADMIN_API_KEY", self.environ) or ""

    @property
    def admin(self) -> httpx.AsyncClient:
        """A client with the operators' key, of the last start."""
        return self._admin

    def visitor(self, address: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """Return a client that comes from an address of this machine with these headers, to be left to the process."""
        client = httpx.AsyncClient(
            base_url=f"http://{self.address}",
            headers=headers,
            timeout=PATIENCE,
            trust_env=False,
            transport=httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=None)),
            event_hooks={"response": [self._note]},
        )
        self._clients.push_async_callback(client.aclose)
        return client

    @property
    def undocumented(self) -> Sequence[str]:
        """What no caller should be answered: 500, or an error without a code that is documented."""
        return [
            f"{status} {code}"
            for status, code in self._refusals
            if status == HTTPStatus.INTERNAL_SERVER_ERROR or code not in CODES
        ]

    @property
    def metrics_port(self) -> int:
        """Where it tells Prometheus: where it serves."""
        return int(self.address.rpartition(":")[2])

    @property
    def memory(self) -> int:
        """Its memory, in bytes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def descriptors(self) -> int:
        """How many descriptors it has: each connection is one."""
        return int(psutil.Process(self.process.pid).num_fds())

    async def hang_up(self) -> None:
        """Close all clients."""
        await self._clients.aclose()

    async def serving(self) -> bool:
        """Return what its health says."""
        try:
            return (await self._admin.get("/health", timeout=5)).is_success
        except httpx.TransportError:
            return False

    def _call(self) -> None:
        self._admin = self.visitor(**{"X-API-KEY": self.key})

    async def _note(self, answer: httpx.Response) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind == EVENTS:
            return
        body = await answer.aread()
        with self._answers.open("ab") as file:
            file.write(b"%d " % answer.status_code + body + b"\n")
        # Health that is not good is 503 with the body that it has when it is.
        if answer.is_error and answer.url.path != "/health":
            self._refusals[answer.status_code, PAGE if kind == PAGE else code_of(answer)] += 1


def code_of(answer: httpx.Response) -> str:
    """Return the code of an error as programs get it, empty when there is none."""
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""
