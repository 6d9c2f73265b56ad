"""Verifications of the vault in the audit trail: a row before a token is opened, and one with what was found."""

from libs.database.pool import Pool, borrow
from services.token.adapters.timeline import author, authored
from services.token.core.verification import Verified

RECORD = f"""
    INSERT INTO connection_events (kind, reason, replica, request_id, actor) SELECT $1, $2, {authored("$3")}
"""


class PostgresVerifications:
    """Implements VerificationsPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    async def begin(self) -> None:
        """Record that every token is about to be opened."""
        await self._record("VERIFY_BEGUN", "")

    async def end(self, verified: Verified) -> None:
        """Record what was found."""
        found = f"rows={verified.rows} unreadable={verified.unreadable_rows}"
        journal = f"records={verified.journal_records} unreadable={verified.unreadable_journal_records}"
        await self._record("VERIFIED", f"{found}, {journal}")

    async def _record(self, kind: str, reason: str) -> None:
        async with borrow(self._pool) as database:
            await database.execute(RECORD, kind, reason, author(self._replica))
