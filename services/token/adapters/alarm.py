"""Tells people of double spends: a counter, a line in the log, and a row in the connection's timeline."""

from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from libs.database.pool import Pool, borrow
from services.token.adapters.timeline import author, recorded
from services.token.domain.connection import Version
from services.token.domain.timeline import DoubleSpend, why

RECORD = recorded(
    "SELECT id, $2::bigint AS epoch, $3::bigint AS generation FROM connections WHERE id = $1",
    kind="'DOUBLE_SPEND'",
    reason="$4::text",
    by="$5",
)

log = structlog.get_logger()


class Alarm:
    """Implements AlarmPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._replica = replica
        self._count = Counter(
            "tokhub_token_double_spends",
            "Refresh tokens spent by somebody who should not have spent them.",
            ["what"],
            registry=registry,
        )
        for what in DoubleSpend:
            self._count.labels(what)

    async def sound(self, what: DoubleSpend, connection_id: UUID, version: Version) -> None:
        """Tell people; a database that cannot be written leaves the counter and the line."""
        self._count.labels(what).inc()
        log.error(
            "double spend", what=what, why=why(what), connection=str(connection_id), generation=version.generation
        )
        try:
            async with borrow(self._pool) as database:
                await database.execute(
                    RECORD, connection_id, version.epoch, version.generation, what, author(self._replica)
                )
        except Exception as error:  # noqa: BLE001 - an alarm never stands in the way of what it is about
            log.warning("double spend not recorded", connection=str(connection_id), error=type(error).__name__)
