"""Faults of those who call: strangers, the lapsed, services that ask for more than is theirs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tokhub.audit.v1 import audit_pb2
from tokhub.token.v1 import token_pb2, vault_pb2

from libs.rpc.tls import TlsFiles
from libs.settings import EX_CONFIG
from services.token.policy import TABLE
from tests.faults.case import case, expect
from tests.faults.cases.starting import refused_start
from tests.faults.lab import Lab
from tests.faults.processes import Replica, settings_of
from tests.faults.waiting import until
from tests.rpc.certified import HERE, Office, bare_channel

GET_VALID_TOKEN = "/tokhub.token.v1.TokenService/GetValidToken"
HEALTH = "/grpc.health.v1.Health/Check"
LAPSED = timedelta(days=2)


async def certified(lab: Lab, office: Office, **environ: str) -> Replica:
    """Start a token service with certificates, which the case calls as an operator."""
    served = office.files("svc/token", hosts=HERE)
    replica = lab.prepared(**settings_of(served), **environ)
    replica.caller = office.certificates("operator/case")
    await replica.start()
    return replica


async def code_of(channel: Any, method: str = GET_VALID_TOKEN) -> StatusCode:
    """Return how a call with an empty request ends."""
    async with channel:
        try:
            await channel.unary_unary(method)(b"", timeout=10)
        except grpc.aio.AioRpcError as failure:
            return failure.code()
    return StatusCode.OK


@case(
    "S12",
    fault="calls in plaintext to a service with certificates; services without any told to listen beyond the machine",
    expected="UNAVAILABLE each time; exit 78 and a line that says what to set; callers with a certificate go on",
)
async def plaintext(lab: Lab) -> str:
    office = Office(lab.directory / "office")
    replica = await certified(lab, office, TOKEN_LISTEN="0.0.0.0:0")
    await lab.connect(replica, "shop-1")
    port = replica.address.rpartition(":")[2]
    codes = [await code_of(grpc.aio.insecure_channel(f"{host}:{port}")) for host in ("127.0.0.1", "127.0.0.2")]
    expect(set(codes) == {StatusCode.UNAVAILABLE}, codes)
    lines = []
    for listen in ("0.0.0.0:0", "[::]:0", "10.0.0.5:50051"):
        bare = lab.prepared("bare", TOKEN_LISTEN=listen)
        status, said = await refused_start(bare)
        expect(status == EX_CONFIG and "TLS_CERT" in said[-1], (status, said))
        lab.replicas.remove(bare)
        lines.append(said[-1])
    found = await replica.ask("shop-1")
    expect(found.fresh, found)
    return f"2 plaintext callers: UNAVAILABLE; {len(lines)} times exit {EX_CONFIG}: {lines[0][-120:]}; then {found}"


@case(
    "S13",
    fault="callers without a certificate, with an expired one, of another authority, of nobody here; a renewal",
    expected="no connection for the first three, PERMISSION_DENIED for the last, and the rightful are never disturbed",
)
async def strangers(lab: Lab) -> str:
    office, other = Office(lab.directory / "office"), Office(lab.directory / "other")
    replica = await certified(lab, office)
    await lab.connect(replica, "shop-1")
    known, foreign = office.files("svc/sync"), other.files("svc/sync")
    channels = {
        "none": bare_channel(replica.address, known, certified=False),
        "expired": bare_channel(replica.address, office.files("svc/sync", age=LAPSED)),
        "foreign": bare_channel(
            replica.address, TlsFiles(ca=known.ca, certificate=foreign.certificate, key=foreign.key)
        ),
        "nobody": bare_channel(replica.address, office.files("svc/nobody")),
    }
    codes = {who: (await code_of(channel)).name for who, channel in channels.items()}
    refused = dict.fromkeys(("none", "expired", "foreign"), "UNAVAILABLE")
    expect(codes == {**refused, "nobody": "PERMISSION_DENIED"}, codes)
    with asking(replica) as found:
        await renewed(replica, other, office)
        enough = len(found) + 10

        async def more_came() -> bool:
            return len(found) >= enough

        await until("reads after the renewal", more_came)
    late = (await code_of(bare_channel(replica.address, known))).name
    expect(late == "UNAVAILABLE", late)
    expect(set(found) == {"FRESH 1"}, set(found))
    return f"{codes}; {len(found)} reads while and after the authority changed, all answered; the old one then: {late}"


@contextmanager
def asking(replica: Replica) -> Iterator[list[str]]:
    """Ask for a token again and again over one connection; yield what comes."""
    found: list[str] = []

    async def ask() -> None:
        while True:
            found.append(str(await replica.ask("shop-1")))

    task = asyncio.create_task(ask())
    try:
        yield found
    finally:
        task.cancel() or task.result()


async def renewed(replica: Replica, new: Office, old: Office) -> None:
    """Change the service's certificates, one file after another, and wait until it shows them."""
    replace = TlsFiles(
        ca=Path(replica.environ["TLS_CA"]),
        certificate=Path(replica.environ["TLS_CERT"]),
        key=Path(replica.environ["TLS_KEY"]),
    )
    for office in (old, new):
        office.issue(replace, "svc/token", hosts=HERE)
        caller = office.files("svc/sync")

        async def is_shown(caller: TlsFiles = caller) -> bool:
            return await code_of(bare_channel(replica.address, caller)) is StatusCode.INVALID_ARGUMENT

        await until("the renewed certificate", is_shown)


@case(
    "S22",
    fault="the gateway is taken over: whoever has its certificate calls every method of the token service",
    expected="consents and disconnects work as ever; no token, no import: PERMISSION_DENIED and a log line",
)
async def gateway_taken_over(lab: Lab) -> str:
    office = Office(lab.directory / "office")
    replica = lab.prepared(**settings_of(office.files("svc/token", hosts=HERE)))
    replica.caller = office.certificates("svc/gateway")
    await replica.start()
    await lab.connect(replica, "shop-1")
    found = await replica.ask("shop-1")
    expect(found.reason == "NOT_ALLOWED" and not found.token, found)
    files = office.files("svc/gateway")
    codes = {method: await code_of(bare_channel(replica.address, files), method) for method in methods()}
    denied = {method.rpartition("/")[2] for method, code in codes.items() if code is StatusCode.PERMISSION_DENIED}
    granted = {name for part in TABLE.values() for name, roles in part.items() if "svc/gateway" in roles}
    expect(denied >= {"GetValidToken", "BatchGetValidTokens", "WatchTokens", "ImportConnections"}, denied)
    expect(len(denied) + len(granted) == len(codes) and not denied & granted, (denied, granted))
    lines = [event for event in replica.events() if event.get("reason") == "NOT_ALLOWED"]
    expect(len(lines) == len(denied) + 1 and {line["actor"] for line in lines} == {"svc/gateway"}, len(lines))
    return f"connected one store; {len(codes)} methods called, {len(denied)} denied: {', '.join(sorted(denied))}"


def methods() -> list[str]:
    """Return the methods of the token service as they are named on the wire."""
    services = [
        service for file in (token_pb2, vault_pb2, audit_pb2) for service in file.DESCRIPTOR.services_by_name.values()
    ]
    return [f"/{service.full_name}/{method.name}" for service in services for method in service.methods]


@case(
    "S24 services",
    fault="health, reflection and metrics of a service that other machines reach, asked by each kind of caller",
    expected="health to every certificate, reflection to operators alone, metrics on 127.0.0.1 alone, no versions",
)
async def what_is_shown(lab: Lab) -> str:
    office = Office(lab.directory / "office")
    replica = await certified(lab, office, TOKEN_LISTEN="0.0.0.0:0")
    callers = ("svc/probe", "svc/sync", "svc/gateway", "operator/alice")
    files = {who: office.files(who) for who in callers}
    healthy = [await code_of(bare_channel(replica.address, one), HEALTH) for one in files.values()]
    expect(set(healthy) == {StatusCode.OK}, healthy)
    shown = {who: await reflected(bare_channel(replica.address, one)) for who, one in files.items()}
    expect([who for who, code in shown.items() if code is StatusCode.OK] == ["operator/alice"], shown)
    expect(await code_of(grpc.aio.insecure_channel(replica.address), HEALTH) is StatusCode.UNAVAILABLE, "plaintext")
    metrics = await read_all("127.0.0.1", replica.metrics_port)
    expect(b"tokhub_rpc_calls" in metrics and b"python_info" not in metrics, metrics[:300])
    elsewhere = await read_all("127.0.0.2", replica.metrics_port)
    expect(elsewhere == b"", elsewhere[:300])
    return f"health to {len(healthy)} callers, reflection to 1 of {len(shown)}; metrics refused on another address"


async def reflected(channel: Any) -> StatusCode:
    """Return how it ends when a caller asks what a service offers."""
    async with channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        try:
            _ = [answer async for answer in stub.ServerReflectionInfo(asked, timeout=10)]
        except grpc.aio.AioRpcError as failure:
            return failure.code()
    return StatusCode.OK


async def read_all(host: str, port: int) -> bytes:
    """Return what a web server says to GET /metrics, nothing when there is none."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return b""
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    content = await reader.read()
    writer.close()
    return content
