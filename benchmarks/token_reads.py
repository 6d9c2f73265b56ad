"""How much of an empty call's speed a token read keeps: from the cache, and from the database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from tokhub.token.v1 import token_pb2

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ground import Database, Ground
from benchmarks.load import Outcome, Plan
from benchmarks.processes import Program, ask, running
from benchmarks.token_with_floor import EMPTY, READ
from libs.secret import Secret
from libs.vault.ring import KeyRing
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.login_kit import SCOPES_ASKED
from services.token.core.vault import Vault
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider
from services.token.domain.grant import Grant
from services.token.domain.shop import Shop

ROUNDS = 7
CALLS, DATABASE_CALLS = 10_000, 5_000  # in a round
STREAMS = 128
CONNECTIONS = 100  # asked for in turn
LIFE = 86_400  # seconds
SEVERAL = {Provider.LOGIN_KIT: "Login Kit", Provider.TIKTOK_SHOP: "Shop"}
FLOOR = "empty call"
GET = "/tokhub.token.v1.TokenService/GetValidToken"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One method with its requests, and what share of an empty call's speed it has to keep."""

    name: str
    port: int
    path: str
    requests: Sequence[Message]
    calls: int = CALLS
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One round of one case."""

    per_second: float
    cpu: float  # microseconds of the server for a call


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return calls per second and the server's CPU time per call."""
    database = await ground.database("token_reads")
    ids = {provider: await connect(ground, database, provider) for provider in SEVERAL}
    with running("benchmarks.token_with_floor", ground.directory / "floor.log", ground.settings(database)) as server:
        compared = cases(server, ids)
        found = rounds(server, compared)
    return [figure for case in compared for figure in figures(case, found)]


async def connect(ground: Ground, database: Database, provider: Provider) -> Sequence[UUID]:
    """Store connections whose tokens are fresh; return their ids."""
    vault = Vault(KeyRing({"default": bytes.fromhex(ground.key)}, active="default"), [b"mark"])
    async with database.pool() as pool:
        rows = PostgresConnections(pool=pool, replica="benchmarks")
        return [
            (await rows.connect(owner(provider, number), 1, given, partial(vault.seal, given))).id
            for number in range(CONNECTIONS)
            for given in [grant(provider, number)]
        ]


def owner(provider: Provider, number: int) -> ByOwner:
    """Return the owner of a connection."""
    return ByOwner(provider=provider, owner=Owner(kind=OwnerKind.STORE, id=f"store-{number}"))


def grant(provider: Provider, number: int) -> Grant:
    """Return a grant with tokens as long as TikTok's, and a shop if it can have one."""
    shop = Shop(
        id=f"7{number:018}", cipher=f"ROW_{number:020}", name=f"Shop {number}", region="GB", seller_type="LOCAL"
    )
    return Grant(
        provider=provider,
        account_id=f"account-{number}",
        access_token=Secret(f"access.{number:080}"),
        access_seconds=LIFE,
        access_given=LIFE,
        refresh_token=Secret(f"refresh.{number:080}"),
        refresh_seconds=None,
        refresh_given=None,
        scopes=SCOPES_ASKED,
        shops=(shop,) if provider is Provider.TIKTOK_SHOP else None,
    )


def cases(server: Program, ids: dict[Provider, Sequence[UUID]]) -> Sequence[Case]:
    """Return what is compared; the first is the floor of the others."""
    port, bare = server.wait_for("serving")["port"], server.wait_for("bare")["port"]
    found = [
        Case(name=FLOOR, port=port, path=EMPTY, requests=[Empty()]),
        Case(name="empty call, bare gRPC", port=bare, path=EMPTY, requests=[Empty()]),
    ]
    for provider, word in SEVERAL.items():
        asked = [request(one) for one in ids[provider]]
        cached = Case(name=f"cached token, {word}", port=port, path=GET, requests=asked, share=0.85)
        read = Case(
            name=f"database token, {word}",
            port=port,
            path=READ,
            requests=asked,
            calls=DATABASE_CALLS,
            share=0.40,
        )
        found += [cached, read]
    return found


def request(connection_id: UUID) -> token_pb2.GetValidTokenRequest:
    """Return a request for a token that lives for another minute."""
    return token_pb2.GetValidTokenRequest(
        connection=token_pb2.ConnectionReference(connection_id=str(connection_id)),
    )


def rounds(server: Program, compared: Sequence[Case]) -> dict[str, list[Measured]]:
    """Measure every case once in each round; the first round only warms up."""
    found: dict[str, list[Measured]] = defaultdict(list)
    for number in range(ROUNDS + 1):
        for case in compared:
            measured = run(server, case)
            if number:
                found[case.name].append(measured)
    return found


def run(server: Program, case: Case) -> Measured:
    """Measure one case once."""
    bodies = [one.SerializeToString().hex() for one in case.requests]
    plan = Plan(port=case.port, path=case.path, bodies=bodies, calls=case.calls, streams=STREAMS)
    before = server.cpu_seconds
    outcome = Outcome(**ask("benchmarks.load", asdict(plan)))
    cpu = server.cpu_seconds - before
    if outcome.answered != outcome.calls:
        raise RuntimeError(f"{case.name}: only {outcome.answered} of {outcome.calls} calls were answered")
    return Measured(per_second=outcome.calls / outcome.seconds, cpu=cpu / outcome.calls * 1e6)


def figures(case: Case, found: dict[str, list[Measured]]) -> Sequence[Figure]:
    """Return a case's calls per second and CPU time, each against those of the empty call in the same round."""
    mine, floors = found[case.name], found[FLOOR]
    is_floor = case.name == FLOOR
    return (
        Figure(
            name=case.name,
            unit="calls/s",
            rounds=[one.per_second for one in mine],
            floor="" if is_floor else FLOOR,
            floors=() if is_floor else [one.per_second for one in floors],
            limit=at_least(case.share) if case.share else None,
        ),
        Figure(
            name=f"{case.name}, CPU",
            unit="µs/call",
            rounds=[one.cpu for one in mine],
            floor="" if is_floor else FLOOR,
            floors=() if is_floor else [one.cpu for one in floors],
            limit=at_most(1 / case.share) if case.share else None,
        ),
    )
