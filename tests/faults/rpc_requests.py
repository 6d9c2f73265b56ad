"""A good request for every method of both services, to be spoiled, and raw calls with what was made of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import grpc
import protovalidate
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from tokhub.audit.v1 import audit_pb2
from tokhub.sync.v1 import report_pb2, sync_pb2
from tokhub.token.v1 import token_pb2, vault_pb2

from libs.rpc.status import status_of, worded
from tests.faults.case import Missed
from tests.faults.history import Outcome, refused
from tests.faults.lab import Lab
from tests.faults.processes import ServiceProcess
from tests.faults.products import start_of
from tests.token.event_sender import login_header, removed

NOBODY = "00000000-0000-4000-8000-000000000000"
SHOP_1 = {"owner_connection": {"provider": 1, "owner": {"kind": 1, "id": "shop-1"}}}
GONE = {"owner_connection": {"provider": 1, "owner": {"kind": 1, "id": "gone"}}}
PERIOD = {"period": {"from_date": "2026-10-01", "to_date": "2026-10-02"}}
AT_MOST = 4 << 20  # bytes of a message, and of an answer

Result = TypeVar("Result")

# Requests that are carried out, as JSON, by method; what has to be new each time is in Requests.
GOOD: Mapping[str, Mapping[str, Any]] = {
    "GetValidToken": {"connection": SHOP_1},
    "BatchGetValidTokens": {"requests": [{"connection": SHOP_1}]},
    "RefreshToken": {"connection": SHOP_1, "rule": 2},
    "RefreshAll": {},
    "WatchTokens": {},
    "StartAuthorization": {"provider": 1, "owner": {"kind": 1, "id": "shop-9"}, "binding": 1},
    "CompleteAuthorization": {"expected": {"provider": 1, "owner": {"kind": 1, "id": "shop-9"}}},
    "Disconnect": {"connection": GONE},
    "ImportConnections": {},
    "GetConnection": {"connection": SHOP_1},
    "ListConnections": {"statuses": [1], "owner_ids": ["shop-1"]},
    "ExplainConnection": {"connection": SHOP_1},
    "GetRefreshForecast": {},
    "HandleProviderEvent": {"provider": 1},
    "GetKeyRing": {},
    "RotateKeys": {},
    "VerifyVault": {},
    "CreateStore": {"store_name": "A store", "pic_name": "Somebody"},
    "GetStore": {"store_code": "shop-1"},
    "ListStores": {},
    "UpdateStore": {"store_code": "shop-1", "store_name": "A store", "update_mask": "storeName"},
    "DeleteStore": {"store_code": "gone"},
    "ListUserStats": {"store_code": "shop-1"},
    "ListVideoStats": {"store_code": "shop-1"},
    "GetAccountMetrics": {"user_id": "nobody"},
    "ExportStats": {"dataset": 1, "format": 1, **PERIOD},
    "StartSync": {"job": 2, "store_code": "gone"},
    "WatchSync": {"run_id": NOBODY},
    "RunSync": {"job": 2, "store_code": "gone"},
    "GetRun": {"run_id": NOBODY},
    "ListRuns": {},
    "CancelRun": {"run_id": NOBODY},
    "GetSchedule": {},
    "RunScheduledJob": {"name": "sync_user_daily", "dry_run": True},
    "ListSyncLogs": {},
    "ListGrowth": PERIOD,
    "ListTopVideos": PERIOD,
    "ListDailyTotals": PERIOD,
    "ListCompleteness": PERIOD,
    "ListAuditRecords": {},
    "VerifyAudit": {},
    "ReportDenial": {"attempt": "DELETE /admin/stores/{store_code}"},
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a raw call ended: its status, our error if it was one, the first answer if there was one."""

    code: str
    outcome: Outcome
    field: str = ""
    answer: Message | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.outcome.reason} {self.field}".strip()


@dataclass
class Requests:
    """Makes good requests."""

    lab: Lab
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def good(self, method: MethodDescriptor) -> Message:
        """Return a request that would be carried out; raise Missed for a method that nobody has thought of."""
        if method.name not in GOOD:
            raise Missed(f"no good request is known for {method.full_name}")
        request = ParseDict(dict(GOOD[method.name]), GetMessageClass(method.input_type)())
        if make := NEW.get(method.name):
            await make(self, request)
        protovalidate.validate(request)
        return request

    def number(self) -> int:
        """Return a number that was not there before."""
        return next(self._numbers)

    async def new_store(self, request: Any) -> None:
        """Name a store that does not exist."""
        request.store_code = f"store-{self.number()}"

    async def new_request_id(self, request: Any) -> None:
        """Ask for the first time."""
        request.request_id = f"request-{self.number()}"

    async def new_consent(self, request: Any) -> None:
        """Come back from a consent that was just given, always by the same account."""
        link = await self.lab.replicas[0].connections.StartAuthorization(start_of("shop-9"))
        self.lab.made.add(link.state)
        account = self.lab.accounts.setdefault("shop-9", self.lab.sandbox.next_account())
        came_back = await asyncio.to_thread(self.lab.sandbox.consent, link.authorize_url, account)
        request.state, request.code = came_back["state"], came_back["code"]

    async def new_event(self, request: Any) -> None:
        """Tell, signed as TikTok does, of an account that nobody has."""
        request.body = removed(f"nobody-{self.number()}")
        request.signature = login_header(request.body)

    async def new_entry(self, request: Any) -> None:
        """Bring a token that was never seen, and that TikTok refuses."""
        request.entries.add(refresh_token=f"ROW_none{self.number()}", shop_cipher="cipher", name="A shop")


Make = Callable[[Requests, Any], Awaitable[None]]
NEW: Mapping[str, Make] = {
    "CreateStore": Requests.new_store,
    "RefreshToken": Requests.new_request_id,
    "CompleteAuthorization": Requests.new_consent,
    "HandleProviderEvent": Requests.new_event,
    "ImportConnections": Requests.new_entry,
}


def methods_of(lab: Lab) -> Iterator[tuple[ServiceProcess, MethodDescriptor]]:
    """Yield every method of both services, and the process that has it."""
    for process, files in ((lab.replicas[0], (token_pb2, vault_pb2)), (lab.syncs[0], (sync_pb2, report_pb2))):
        for file in (*files, audit_pb2):
            for service in file.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    yield process, method


def path_of(method: MethodDescriptor) -> str:
    """Return a method's name on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, content: bytes) -> Answer:
    """Send bytes as they are to a method; return how it ended, or what it said first."""
    read = GetMessageClass(method.output_type).FromString
    kind: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    calling = kind(path_of(method), response_deserializer=read)(content, timeout=60)
    try:
        answer = await (anext(aiter(calling), None) if method.server_streaming else calling)
    except grpc.aio.AioRpcError as failure:
        return failed(failure)
    finally:
        calling.cancel()
    return Answer(code="OK", outcome=Outcome(), answer=answer)


def failed(failure: grpc.aio.AioRpcError) -> Answer:
    """Return how a call failed, without what a client of ours makes of it."""
    said, error = failure.details() or "", worded(status_of(failure), failure.details() or "")
    outcome = refused(error, 0) if error else Outcome(said=said)
    return Answer(code=failure.code().name, outcome=outcome, field=error.metadata.get("field", "") if error else "")


def raw_channel(process: ServiceProcess) -> grpc.aio.Channel:
    """Return a channel that hides nothing."""
    return grpc.aio.insecure_channel(process.address, options=[("grpc.max_receive_message_length", AT_MOST)])


async def at_once(calls: Sequence[Callable[[], Awaitable[Result]]], most: int = 8) -> list[Result]:
    """Make calls, so many at the same time."""
    room = asyncio.Semaphore(most)

    async def one(make: Callable[[], Awaitable[Result]]) -> Result:
        async with room:
            return await make()

    return list(await asyncio.gather(*map(one, calls)))
