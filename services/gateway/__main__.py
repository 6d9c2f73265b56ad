"""Composes the gateway and serves until it is told to stop."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.errors import ServerMisconfig
from libs.metrics import process_registry, serve_metrics
from libs.migrating import migrate_instead
from libs.process import run
from libs.settings import EX_CONFIG, load
from libs.signals import configure_signals
from services.gateway.app import Gates, Parts, create_app
from services.gateway.backends import Targets, open_backends
from services.gateway.database import SCHEMA, Database, Keeper, prepare_schema
from services.gateway.failures import FailureReport
from services.gateway.gates import AdminGate, CreatorGate, Door, OAuthGate, UserGate
from services.gateway.key_sets import KeySet, KeySetMetrics
from services.gateway.limit_rows import LimitRows
from services.gateway.limits import Budget, FailureLockouts, LockoutRule, Lockouts, MinuteBudget
from services.gateway.routes.info import Life
from services.gateway.server import CannotListen, Listen, serve
from services.gateway.session_rows import PostgresSessions
from services.gateway.sessions import KeptSessions, NoSessions, Sessions
from services.gateway.settings import GatewaySettings
from services.gateway.shared_limits import SharedBudget, SharedLockouts, SharedRule, Take
from services.gateway.sharing import Sharing
from services.gateway.user_tokens import Users, UserTokens

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Limiting:
    """Makes limits and lockouts, of this process or shared by all."""

    settings: GatewaySettings
    clock: SystemClock
    registry: CollectorRegistry

    @property
    def rule(self) -> LockoutRule:
        """What blocks an address, and for how long."""
        settings = self.settings
        return LockoutRule(max_failures=settings.auth_max_failures, block_seconds=settings.auth_block_seconds)

    def share(self, limit: int) -> int:
        """Return what this process gives out of a limit when it cannot reach the others."""
        return max(1, limit // self.settings.gateway_replicas)

    def local_budget(self, per_minute: int) -> MinuteBudget:
        """Return this process's share of a budget."""
        return MinuteBudget(clock=self.clock, per_minute=self.share(per_minute))

    def local_lockouts(self) -> FailureLockouts:
        """Return lockouts of this process, which allow its share of failures."""
        rule = replace(self.rule, max_failures=self.share(self.rule.max_failures))
        return FailureLockouts(clock=self.clock, rule=rule)

    def shared_budget(self, name: str, per_minute: int, take: Take) -> SharedBudget:
        """Return a budget of all processes."""
        rule = SharedRule(name=name, most=per_minute)
        return SharedBudget(rule=rule, take=take, local=self.local_budget(per_minute), clock=self.clock)

    def shared_lockouts(self, rows: LimitRows) -> SharedLockouts:
        """Return lockouts of all processes."""
        local, share = FailureLockouts(clock=self.clock, rule=self.rule), self.share(self.rule.max_failures)
        return SharedLockouts(rule=self.rule, rows=rows, local=local, share=share, clock=self.clock)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What gateways keep together."""

    limits: LimitRows
    sessions: Sessions


def users_of(limiting: Limiting) -> Users:
    """Return what knows users by their tokens; where it has keys from, metrics tell how old they are."""
    users = limiting.settings.users(limiting.clock)
    if isinstance(users, UserTokens) and isinstance(users.keys, KeySet):
        limiting.registry.register(KeySetMetrics(users.keys))
    return users


def gates_of(limiting: Limiting, kept: Kept | None) -> Gates:
    """Return the gates, with limits and lockouts of this process when nothing is kept together."""
    settings, trusted = limiting.settings, limiting.settings.trusted_proxies
    admin, oauth = settings.rate_limit_admin_per_minute, settings.rate_limit_oauth_per_minute
    budgets: tuple[Budget, Budget] = (limiting.local_budget(admin), limiting.local_budget(oauth))
    lockouts: Lockouts = limiting.local_lockouts()
    if kept is not None:
        lockouts = limiting.shared_lockouts(kept.limits)
        budgets = (
            limiting.shared_budget("admin", admin, kept.limits.spend_unless_blocked),
            limiting.shared_budget("oauth", oauth, kept.limits.spend),
        )
    report = FailureReport(block_seconds=limiting.rule.block_seconds, clock=limiting.clock, registry=limiting.registry)
    door = Door(budget=budgets[0], lockouts=lockouts, report=report, trusted=trusted)
    sessions = kept.sessions if kept else NoSessions()
    admins = AdminGate(keys=settings.keys, door=door, sessions=sessions)
    users = UserGate(tokens=users_of(limiting), door=door)
    return Gates(
        admin=admins,
        users=users,
        creators=CreatorGate(admin=admins, users=users, door=door),
        oauth=OAuthGate(budget=budgets[1], trusted=trusted),
        sessions=sessions,
    )


@asynccontextmanager
async def open_gates(limiting: Limiting) -> AsyncIterator[Gates]:
    """Yield the gates; their limits are shared when there is a database, ServerMisconfig when it is a newer one."""
    settings, clock, registry = limiting.settings, limiting.clock, limiting.registry
    if settings.database_url is None:
        log.warning("limits and lockouts are counted in this process alone: set DATABASE_URL to share them")
        yield gates_of(limiting, None)
        return
    database = Database(Sharing(clock=clock, registry=registry), settings.statement_teller)
    registry.register(database.metrics())
    limits, rows = LimitRows(database), PostgresSessions(database)
    keeper = Keeper(
        database=database,
        dsn=settings.database_url,
        begin=[partial(limits.unlock, settings.auth_unlock)],
        prune=[partial(limits.prune, limiting.rule), partial(rows.prune, settings.session_life)],
        clock=clock,
    )
    async with keeper.keeping():
        sessions = KeptSessions(keys=settings.keys, rows=rows, life=settings.session_life)
        yield gates_of(limiting, Kept(limits=limits, sessions=sessions))


async def main(stop: asyncio.Event) -> None:
    """Serve with the settings of the environment until stop is set."""
    settings = load(GatewaySettings)
    configure_signals("gateway", settings)
    clock = SystemClock()
    registry = process_registry("gateway")
    life = Life(version=version("tokhub"), clock=clock, started=clock.monotonic(), stopping=stop)
    targets = Targets(token=settings.token_target, sync=settings.sync_target, certificates=settings.certificates(clock))
    limiting = Limiting(settings=settings, clock=clock, registry=registry)
    metrics = serve_metrics(str(settings.metrics_host), settings.gateway_metrics_port, registry)
    async with open_backends(targets) as backends, open_gates(limiting) as gates:
        parts = Parts(
            backends=backends,
            gates=gates,
            life=life,
            registry=registry,
            redirect_uri=settings.tiktok_redirect_uri,
            cors_origins=settings.cors_origin,
        )
        try:
            with metrics:
                await serve(create_app(parts), listen=Listen(host=settings.host, port=settings.port), stop=stop)
        except CannotListen as error:
            sys.stderr.write(f"tokhub cannot start: {error}\n")
            raise SystemExit(EX_CONFIG) from None


if __name__ == "__main__":
    migrate_instead(SCHEMA, prepare_schema)
    try:
        run(main)
    except ServerMisconfig as error:
        sys.stderr.write(f"tokhub cannot start: {error}\n")
        sys.exit(EX_CONFIG)
