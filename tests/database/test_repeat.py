"""Work that PostgreSQL has undone for a conflict is done again, and nothing else is."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.database.pool import Pool, borrow, open_pool
from libs.database.repeat import repeated
from libs.errors import StorageUnavailable

FAIL = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION fail(times integer, state text) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE try bigint := nextval('tries'); BEGIN
        IF try <= times THEN RAISE EXCEPTION 'undone' USING ERRCODE = state; END IF;
        RETURN try;
    END $$;
"""


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(database_dsn, application="test") as one:
        await one.execute(FAIL)
        yield one


@repeated
async def work(pool: Pool, times: int, state: str) -> int:
    async with borrow(pool) as database, database.transaction():
        return int(await database.fetchval("SELECT fail($1, $2)", times, state))


async def tries(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT last_value FROM tries"))


@pytest.mark.parametrize("state", ["40P01", "40001"])
async def test_three_conflicts_in_a_row_are_seen_by_nobody(pool: Pool, state: str) -> None:
    assert await work(pool, 3, state) == 4


async def test_a_fourth_conflict_is_told(pool: Pool) -> None:
    with pytest.raises(StorageUnavailable):
        await work(pool, 4, "40P01")
    assert await tries(pool) == 4


@pytest.mark.parametrize(("state", "error"), [("53100", StorageUnavailable), ("23514", asyncpg.CheckViolationError)])
async def test_no_other_failure_is_repeated(pool: Pool, state: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await work(pool, 1, state)
    assert await tries(pool) == 1
