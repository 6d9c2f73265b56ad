"""Composes the gateway and serves until it is told to stop."""

import asyncio
import sys
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector

from libs.clock import SystemClock
from libs.logs import configure_logs
from libs.process import run
from libs.settings import EX_CONFIG, load
from services.gateway.app import Gates, Parts, create_app
from services.gateway.auth import AdminGate, OAuthGate
from services.gateway.backends import Targets, open_backends
from services.gateway.limits import FailureLockouts, LockoutRule, MinuteBudget
from services.gateway.routes.info import Life
from services.gateway.server import CannotListen, Listen, serve
from services.gateway.settings import GatewaySettings


def gates_of(settings: GatewaySettings, clock: SystemClock) -> Gates:
    """Return the gates with limits and lockouts of this process."""
    rule = LockoutRule(max_failures=settings.auth_max_failures, block_seconds=settings.auth_block_seconds)
    admin_budget = MinuteBudget(clock=clock, per_minute=settings.rate_limit_admin_per_minute)
    oauth_budget = MinuteBudget(clock=clock, per_minute=settings.rate_limit_oauth_per_minute)
    trusted = settings.trusted_proxies
    lockouts = FailureLockouts(clock=clock, rule=rule)
    return Gates(
        admin=AdminGate(keys=settings.keys, budget=admin_budget, lockouts=lockouts, trusted=trusted),
        oauth=OAuthGate(budget=oauth_budget, trusted=trusted),
    )


async def main(stop: asyncio.Event) -> None:
    """Serve with the settings of the environment until stop is set."""
    settings = load(GatewaySettings)
    configure_logs("gateway", settings.log_level)
    clock = SystemClock()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    life = Life(version=version("tokhub"), clock=clock, started=clock.monotonic(), stopping=stop)
    async with open_backends(Targets(token=settings.token_target, sync=settings.sync_target)) as backends:
        parts = Parts(
            backends=backends,
            gates=gates_of(settings, clock),
            life=life,
            registry=registry,
            cors_origins=settings.cors_origin,
        )
        try:
            await serve(create_app(parts), listen=Listen(host=settings.host, port=settings.port), stop=stop)
        except CannotListen as error:
            sys.stderr.write(f"tokhub cannot start: {error}\n")
            raise SystemExit(EX_CONFIG) from None


if __name__ == "__main__":
    run(main)
