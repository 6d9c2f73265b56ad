"""Monthly partitions of the snapshots: made ahead of time, dropped out of retention; stray rows are moved."""

from datetime import date

import structlog

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.database import Database

MONTHS_AHEAD = 2
LOCK = 0x7061727469  # of the schema's partitions; replicas that start together take turns

TABLES = ("tiktok_user_daily", "tiktok_video_daily")
# Dropping a month shuts everybody out of the table for a moment, and whoever comes waits behind it: rather try later.
DROP_PATIENCE = "2s"

# By their bounds, whatever they are called; the default partition has none.
ENDED = """
SELECT child.oid::regclass::text AS name FROM pg_inherits
JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = $1::text::regclass
  AND substring(pg_get_expr(child.relpartbound, child.oid) FROM $$ TO \\('([0-9-]+)'\\)$$)::date <= $2
ORDER BY name
"""

log = structlog.get_logger()


class Partitions:
    """Makes room for snapshots, and takes it back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready_until = date.min

    async def prepare(self, day: date) -> None:
        """Make sure that the day's month and the next ones have partitions, and that no row lies in a default one."""
        if first_of_month(day, 1) <= self._ready_until and not await self._strays():
            return
        wanted = {first_of_month(day, ahead) for ahead in range(-1, MONTHS_AHEAD + 1)}
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            for table in TABLES:
                for month in sorted(wanted | await stray_months(connection, table)):
                    await make_partition(connection, table, month)
        self._ready_until = first_of_month(day, MONTHS_AHEAD)

    async def drop_before(self, day: date) -> list[str]:
        """Drop the months that end before the day, one by one, and return their tables' names."""
        dropped = []
        for table in TABLES:
            while name := await self._drop_oldest(table, day):
                dropped.append(name)
        return dropped

    async def _drop_oldest(self, table: str, day: date) -> str | None:
        async with self._database.transaction() as connection:
            await connection.execute(f"SET LOCAL lock_timeout = '{DROP_PATIENCE}'")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            name = await connection.fetchval(ENDED, table, day)
            if name is None:
                return None
            await connection.execute(f"DROP TABLE {name}")
            return str(name)

    async def _strays(self) -> bool:
        async with self._database.borrow() as connection:
            return any([await stray_months(connection, table) for table in TABLES])


def first_of_month(day: date, ahead: int) -> date:
    """Return the first day of the month so many months ahead."""
    months = day.year * 12 + day.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)


async def stray_months(connection: Borrowed, table: str) -> set[date]:
    """Return the months of the rows that lie in the default partition."""
    rows = await connection.fetch(
        f"SELECT DISTINCT date_trunc('month', snapshot_date)::date AS month FROM {table}_default"
    )
    return {row["month"] for row in rows}


async def make_partition(connection: Borrowed, table: str, month: date) -> None:
    """Create a month's partition unless it is there, and move its rows out of the default one."""
    name = f"{table}_{month:%Y_%m}"
    if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
        return
    until = first_of_month(month, 1)
    moved = await connection.execute(
        f"CREATE TEMPORARY TABLE strays ON COMMIT DROP AS SELECT * FROM {table}_default"
        f" WHERE snapshot_date >= '{month}' AND snapshot_date < '{until}'"
    )
    await connection.execute(
        f"DELETE FROM {table}_default WHERE snapshot_date >= $1 AND snapshot_date < $2",
        month,
        until,
    )
    await connection.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{month}') TO ('{until}')")
    await connection.execute("ALTER TABLE strays DROP COLUMN store_code")
    columns = await connection.fetchval(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'strays'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    await connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM strays")
    await connection.execute("DROP TABLE strays")
    if moved != "SELECT 0":
        log.warning("Snapshots lay in the default partition and were moved", table=name, rows=moved)
