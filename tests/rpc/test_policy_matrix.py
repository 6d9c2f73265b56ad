"""Every pair of caller and method, over real connections; methods come from the protos, not from the tables."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry
from tokhub.audit.v1 import audit_pb2
from tokhub.sync.v1 import report_pb2, sync_pb2
from tokhub.token.v1 import token_pb2, vault_pb2

from libs.errors import InvalidField, NotAllowed
from libs.rpc.access import Access
from libs.rpc.policy import Policy, Table
from libs.rpc.server import Readiness, RpcServer, RpcService
from services.sync import policy as sync_policy
from services.token import policy as token_policy
from tests.rpc.certified import HERE, Office, Remembered

ROOT = Path(__file__).parents[2]
CALLERS = ("svc/gateway", "svc/sync", "svc/token", "operator/alice", "svc/reports", "svc/operator", "svc/stranger")
ROLES = {"operator/alice": "operator", "svc/reports": token_policy.READER}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One process: the protos it answers for, and its policy."""

    files: tuple[FileDescriptor, ...]
    table: Table
    recorded: Table
    policy: Policy

    @property
    def services(self) -> list[ServiceDescriptor]:
        return [service for file in self.files for service in file.services_by_name.values()]

    @property
    def methods(self) -> list[MethodDescriptor]:
        return [method for service in self.services for method in service.methods]


SIDES = {
    "token": Side(
        files=(token_pb2.DESCRIPTOR, vault_pb2.DESCRIPTOR, audit_pb2.DESCRIPTOR),
        table=token_policy.TABLE,
        recorded=token_policy.RECORDED,
        policy=token_policy.policy(["reports"]),
    ),
    "sync": Side(
        files=(sync_pb2.DESCRIPTOR, report_pb2.DESCRIPTOR, audit_pb2.DESCRIPTOR),
        table=sync_policy.TABLE,
        recorded=sync_policy.RECORDED,
        policy=sync_policy.POLICY,
    ),
}


def answers(service: ServiceDescriptor) -> RpcService:
    """A service whose every method answers with nothing."""

    async def one(_request: Any, _context: Any) -> bytes:
        return b""

    async def many(_request: Any, _context: Any) -> AsyncIterator[bytes]:
        yield b""

    handlers: dict[str, Any] = {
        method.name: grpc.unary_stream_rpc_method_handler(many, GetMessageClass(method.input_type).FromString)
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler(one, GetMessageClass(method.input_type).FromString)
        for method in service.methods
    }
    handler = grpc.method_handlers_generic_handler(service.full_name, handlers)
    return RpcService(name=service.full_name, register=lambda server: server.add_generic_rpc_handlers((handler,)))


@asynccontextmanager
async def served(side: Side, office: Office) -> AsyncIterator[str]:
    access = Access(certificates=office.certificates("svc/sync", *HERE), policy=side.policy, trail=Remembered())
    services = [answers(service) for service in side.services]
    async with RpcServer(
        listen="127.0.0.1:0", services=services, registry=CollectorRegistry(), readiness=Readiness(), access=access
    ) as server:
        yield f"127.0.0.1:{server.port}"


async def allowed(channel: Any, method: MethodDescriptor) -> bool:
    """Whether a call is let in; what it finds there does not matter."""
    name = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            async for _ in channel.unary_stream(name)(b""):
                pass
        else:
            await channel.unary_unary(name)(b"", timeout=5)
    except NotAllowed:
        return False
    except InvalidField:
        return True
    return True


def granted(side: Side) -> Iterator[tuple[str, str]]:
    for method in side.methods:
        for caller in CALLERS:
            if ROLES.get(caller, caller) in side.table[method.containing_service.full_name][method.name]:
                yield caller, method.name


@pytest.mark.parametrize("name", SIDES)
def test_every_method_of_the_protos_has_a_rule(name: str) -> None:
    side = SIDES[name]
    told = {(service, method) for service, methods in side.table.items() for method in methods}
    assert told == {(method.containing_service.full_name, method.name) for method in side.methods}


@pytest.mark.parametrize("name", SIDES)
async def test_every_pair_is_allowed_or_denied_as_the_policy_says(name: str, tmp_path: Path) -> None:
    side, office = SIDES[name], Office(tmp_path / "office")
    let_in = set()
    async with served(side, office) as target:
        for caller in CALLERS:
            async with office.channel(target, caller) as channel:
                let_in |= {(caller, method.name) for method in side.methods if await allowed(channel, method)}
    assert let_in == set(granted(side))


# Methods that change nothing and tell no token: nobody's calls to them are recorded.
LOOKS = {
    "token": {
        *("ListAuditRecords", "VerifyAudit"),
        *("WatchTokens", "ExplainConnection", "GetRefreshForecast", "GetConnection", "ListConnections", "GetKeyRing"),
    },
    "sync": {
        *("ListAuditRecords", "VerifyAudit"),
        *("GetStore", "ListStores", "CountStores", "ListUserStats", "ListVideoStats", "GetAccountMetrics"),
        *("ListGrowth", "ListTopVideos", "ListDailyTotals", "ListCompleteness"),
        *("WatchSync", "GetRun", "ListRuns", "GetSchedule", "GetBudget", "ListSyncLogs"),
    },
}


@pytest.mark.parametrize("name", SIDES)
def test_every_method_but_a_look_is_recorded_for_operators(name: str) -> None:
    side = SIDES[name]
    recorded = {
        method for methods in side.recorded.values() for method, roles in methods.items() if "operator" in roles
    }
    assert recorded == {method.name for method in side.methods} - LOOKS[name]


def may(side: Side, role: str) -> set[str]:
    return {method for methods in side.table.values() for method, roles in methods.items() if role in roles}


def test_the_gateway_gets_no_token_and_no_key() -> None:
    gateway = may(SIDES["token"], "svc/gateway")
    assert not gateway & {"GetValidToken", "BatchGetValidTokens", "WatchTokens", "ImportConnections"}
    # A ring without bytes, and rows sealed with the key that is active anyway.
    assert gateway & set(token_policy.TABLE["tokhub.token.v1.VaultService"]) == {"GetKeyRing", "RotateKeys"}


def test_operators_may_call_everything() -> None:
    for side in SIDES.values():
        assert may(side, "operator") == {method.name for method in side.methods}


def test_a_further_reader_gets_tokens_and_nothing_else() -> None:
    assert may(SIDES["token"], token_policy.READER) == {"GetValidToken", "BatchGetValidTokens", "WatchTokens"}


@pytest.mark.parametrize(("room", "role"), [("gateway", "svc/gateway"), ("sync/adapters", "svc/sync")])
def test_a_service_may_call_whatever_it_calls(room: str, role: str) -> None:
    texts = [file.read_text() for file in (ROOT / "services" / room).rglob("*.py")]
    written = {name for text in texts for name in re.findall(r"\.([A-Z]\w+)\(", text)}
    called = written & {method.name for side in SIDES.values() for method in side.methods}
    assert len(called) >= 5
    assert called <= {name for side in SIDES.values() for name in may(side, role)}
