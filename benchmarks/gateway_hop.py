"""How much of a bare framework's rate the gateway keeps, before the same calls to the same services over mTLS."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from benchmarks.figures import Figure, at_least
from benchmarks.ground import NOBODY, Database, Ground
from benchmarks.http_load import Plan
from benchmarks.load import Outcome
from benchmarks.processes import Program, ask, running
from benchmarks.sync_lab import ADD_STORE
from benchmarks.token_reads import CONNECTIONS, connect, owner
from deploy.local.identities import Identities
from libs.clock import SystemClock
from libs.database.migrations import migrate
from libs.database.pool import open_pool
from services.sync.__main__ import MIGRATIONS, SCHEMA
from services.token.domain.connection import Provider

ROUNDS = 9
CALLS = 3_000  # in a round
AT_ONCE = 32
SHARE = 0.6
HERE = ("127.0.0.1",)
FLOOR = "bare FastAPI and the same calls"
OURS = "through the gateway"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One round of one side."""

    per_second: float
    cpu: float  # microseconds of the process that speaks HTTP, for a request


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Services with a database, and who they are."""

    ground: Ground
    database: Database
    identities: Identities

    @contextmanager
    def program(self, module: str, name: str, settings: Mapping[str, str]) -> Iterator[Program]:
        """Run a program under a name that is in its certificate."""
        files = self.identities.files(name)
        own = {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}
        told = {**own, "AUDIT_KEYS": f"k1:{self.ground.key}", **settings}
        with running(module, self.ground.directory / f"{module}.log", told) as program:
            yield program

    def token(self) -> Mapping[str, str]:
        """Return the settings of the token service."""
        return self.ground.settings(self.database)

    def sync(self, token: Program) -> Mapping[str, str]:
        """Return the settings of the sync service."""
        return {
            "DATABASE_URL": self.database.dsn.reveal(),
            "TOKEN_TARGET": target(token),
            "TIKTOK_API_BASE_URL": NOBODY,
            "SYNC_LISTEN": "127.0.0.1:0",
            "SYNC_METRICS_PORT": "0",
            "CRON_ENABLED": "0",
        }

    def gateway(self, token: Program, sync: Program, key: str) -> Mapping[str, str]:
        """Return the settings of a gateway whose limits are counted and far away."""
        return {
            "DATABASE_URL": self.database.dsn.reveal(),
            "TOKEN_TARGET": target(token),
            "SYNC_TARGET": target(sync),
            "PORT": "0",
            "ADMIN_API_KEY": key,
            "RATE_LIMIT_ADMIN_PER_MINUTE": "1000000",
        }


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return requests per second and the CPU time of the process that answers them."""
    lab, key = await build(ground), secrets.token_hex(24)
    with ExitStack() as stack:
        token = stack.enter_context(lab.program("services.token", "token", lab.token()))
        sync = stack.enter_context(lab.program("services.sync", "sync", lab.sync(token)))
        settings = lab.gateway(token, sync, key)
        sides = {
            FLOOR: stack.enter_context(lab.program("benchmarks.bare_gateway", "gateway", settings)),
            OURS: stack.enter_context(lab.program("services.gateway", "gateway", settings)),
        }
        return figures(rounds(sides, key))


async def build(ground: Ground) -> Lab:
    """Return a lab whose stores are connected."""
    database = await ground.database("gateway_hop")
    await migrate(database.dsn.reveal(), MIGRATIONS, SCHEMA)
    await connect(ground, database, Provider.LOGIN_KIT)
    async with open_pool(database.dsn.reveal(), application="benchmarks", schema=SCHEMA) as pool:
        await pool.executemany(ADD_STORE, [(code,) for code in codes()])
    hosts = {"token": HERE, "sync": HERE, "gateway": ()}
    identities = Identities(directory=ground.directory / "tls", hosts=hosts, clock=SystemClock())
    identities.renew()
    return Lab(ground=ground, database=database, identities=identities)


def codes() -> Sequence[str]:
    """Return the stores that are asked for in turn."""
    return [owner(Provider.LOGIN_KIT, number).owner.id for number in range(CONNECTIONS)]


def target(program: Program) -> str:
    """Return where a service listens."""
    return f"127.0.0.1:{program.wait_for('serving')['port']}"


def rounds(sides: Mapping[str, Program], key: str) -> Mapping[str, Sequence[Measured]]:
    """Measure every side once in each round; the first round only warms up."""
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, program in sides.items():
            found[name].append(run(program, key))
    return {name: measured[1:] for name, measured in found.items()}


def run(program: Program, key: str) -> Measured:
    """Measure one side once."""
    requests = [
        f"GET /admin/stores/{code} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {key}\r\nAccept: */*\r\n\r\n"
        for code in codes()
    ]
    plan = Plan(port=program.wait_for("serving")["port"], requests=requests, calls=CALLS, connections=AT_ONCE)
    before = program.cpu_seconds
    outcome = Outcome(**ask("benchmarks.http_load", asdict(plan)))
    cpu = program.cpu_seconds - before
    if outcome.answered != outcome.calls:
        raise RuntimeError(f"only {outcome.answered} of {outcome.calls} requests were answered")
    return Measured(per_second=outcome.calls / outcome.seconds, cpu=cpu / outcome.calls * 1e6)


def figures(found: Mapping[str, Sequence[Measured]]) -> Sequence[Figure]:
    """Return both sides' rates and CPU times, ours against the floor's in the same round."""
    rates = {name: [one.per_second for one in measured] for name, measured in found.items()}
    costs = {name: [one.cpu for one in measured] for name, measured in found.items()}
    return (
        Figure(name=FLOOR, unit="requests/s", rounds=rates[FLOOR]),
        Figure(
            name=OURS,
            unit="requests/s",
            rounds=rates[OURS],
            floor=FLOOR,
            floors=rates[FLOOR],
            limit=at_least(SHARE),
        ),
        Figure(name=f"{FLOOR}, CPU", unit="µs/request", rounds=costs[FLOOR]),
        Figure(name=f"{OURS}, CPU", unit="µs/request", rounds=costs[OURS], floor=FLOOR, floors=costs[FLOOR]),
    )
