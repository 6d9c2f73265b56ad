"""Asks the services how they are: health by part, clocks, keys, connections, schedules."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, timedelta

import grpc
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2, vault_pb2

from cli.checks.finding import Finding, bad, good, warning
from cli.lists import every_connection
from cli.services import Services
from cli.settings import ClientSettings
from cli.views.vault import ring_notes
from libs.clock import Clock
from libs.errors import TokhubError
from libs.rpc.health import EVERYTHING, serves

PATIENCE = 5.0  # seconds
APART = timedelta(seconds=5)
REMEDIES = {
    "database": "See that PostgreSQL runs, and DATABASE_URL of the service; its log says what it could not do.",
    "encryption": "`tokhub vault status` shows which replica lacks which key (docs/vault.md).",
    "journal": "The log names the file; docs/signals.md says what to do.",
    "journal_disk": "Free the disk of JOURNAL_DIR, or give the directory back: refreshes wait (docs/operations.md).",
}
BROKEN = (token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED, token_pb2.CONNECTION_STATUS_SUSPECT)


async def check_services(services: Services, settings: ClientSettings) -> list[Finding]:
    """Say whether each service serves, and which part of it does not."""
    token, sync = await asyncio.gather(
        check_health("token service", services.token.channel, settings.token_target, parts=tuple(REMEDIES)),
        check_health("sync service", services.sync.channel, settings.sync_target, parts=("database",)),
    )
    return token + sync


async def check_health(what: str, channel: grpc.aio.Channel, target: str, *, parts: Sequence[str]) -> list[Finding]:
    """Say whether a service serves."""
    try:
        states = {part: await serves(channel, part, patience=PATIENCE) for part in (EVERYTHING, *parts)}
    except TokhubError as error:
        variable = f"{what.partition(' ')[0].upper()}_TARGET"
        todo = f"Start it (`make run`), or set {variable}; with certificates, TLS_CA, TLS_CERT and TLS_KEY."
        return [bad(what, f"does not answer at {target}: {error.message}", todo)]
    broken = [part for part in parts if not states[part]]
    if states[EVERYTHING] and not broken:
        return [good(what, f"serves; usable: {', '.join(spelled(part) for part in parts)}")]
    return [bad(what, f"cannot use its {spelled(part)}.", REMEDIES[part]) for part in broken or ["database"]]


def spelled(part: str) -> str:
    """Return what people call a part."""
    return part.replace("_", " ")


async def check_tokens(services: Services, clock: Clock) -> AsyncIterator[Finding]:
    """Compare this machine's clock with the database's, and count what is overdue."""
    before = clock.now()
    request = token_pb2.GetRefreshForecastRequest()
    forecast = await services.token.connections.GetRefreshForecast(request, timeout=PATIENCE)
    middle = before + (clock.now() - before) / 2
    apart = forecast.time.ToDatetime(UTC) - middle
    seconds = f"{abs(apart).total_seconds():.1f} s"
    if abs(apart) < APART:
        yield good("clock", f"this machine and the database are {seconds} apart")
    else:
        yield bad("clock", f"this machine and the database are {seconds} apart.", "Set both by NTP.")
    if forecast.access_overdue:
        yield warning(
            "tokens",
            f"{forecast.access_overdue} of {forecast.live} access tokens have ended.",
            "`tokhub refresh-tokens --product all` refreshes them, and says why it cannot.",
        )
    else:
        yield good("tokens", f"{forecast.live} connections can be refreshed, and no access token has ended")


async def check_ring(services: Services) -> AsyncIterator[Finding]:
    """Say which key seals, and what is wrong with the ring."""
    ring = await services.token.vault.GetKeyRing(vault_pb2.GetKeyRingRequest(), timeout=PATIENCE)
    notes = list(ring_notes(ring))
    for note in notes:
        yield warning("key ring", note, "docs/vault.md says how keys are changed.")
    if not notes:
        active = next((key.id for key in ring.keys if key.active), "no key")
        yield good("key ring", f"{active} seals; {len(ring.live_replicas)} replica(s) know every key")


async def check_connections(services: Services) -> AsyncIterator[Finding]:
    """Count the connections that need somebody."""
    request = token_pb2.ListConnectionsRequest(page_size=500, statuses=BROKEN)
    counted = dict.fromkeys(BROKEN, 0)
    async for connection in every_connection(services, request):
        counted[connection.status] += 1
    again, doubtful = counted[BROKEN[0]], counted[BROKEN[1]]
    if again:
        todo = "`tokhub connections list --status reauth_required` names them; send each a link."
        yield warning("connections", f"{again} must be connected again by their owners.", todo)
    if doubtful:
        todo = "`tokhub connections list --status suspect` names them; the next refresh decides."
        yield warning("connections", f"{doubtful} are in doubt: their last refresh had no answer.", todo)
    if not again and not doubtful:
        yield good("connections", "none needs its owner")


async def check_schedule(services: Services) -> AsyncIterator[Finding]:
    """Say whether jobs start by themselves."""
    told = await services.sync.runs.GetSchedule(sync_pb2.GetScheduleRequest(), timeout=PATIENCE)
    if told.enabled:
        yield good("schedule", f"{len(told.jobs)} jobs start by themselves, in {told.timezone}")
    else:
        yield warning("schedule", "nothing starts by itself.", "Set CRON_ENABLED=1 for the sync service.")
