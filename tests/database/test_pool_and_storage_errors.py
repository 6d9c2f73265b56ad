import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from libs.database.errors import storage_errors
from libs.database.pool import PoolLimits, borrow, open_pool
from libs.errors import StorageUnavailable
from libs.statements import tell_statement


async def test_values_of_json_columns_are_python(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        assert await pool.fetchval("SELECT $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}


async def test_names_mean_the_schema_of_the_pool(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        await pool.execute("CREATE SCHEMA mine; CREATE TABLE mine.things AS SELECT 7 AS number")
    async with open_pool(database_dsn, application="test", schema="mine") as pool:
        assert await pool.fetchval("SELECT number FROM things") == 7


async def test_statements_are_told_without_their_values(database_dsn: str) -> None:
    with capture_logs() as lines:
        async with open_pool(database_dsn, application="test", tell=tell_statement) as pool:
            await pool.fetchval("SELECT length($1),\n  1", "CNRYvalue")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await pool.fetchval("SELECT 1 / $1::int", 0)
            await asyncio.sleep(0)

    told = [line for line in lines if line["event"] == "statement"][-2:]
    assert [line["sql"] for line in told] == ["SELECT length($1), 1", "SELECT 1 / $1::int"]
    assert [line["error"] for line in told] == ["", "DivisionByZeroError"]
    assert all(line["ms"] >= 0 for line in told)
    assert "CNRY" not in str(lines)


async def test_a_session_is_bounded_and_named(database_dsn: str) -> None:
    asked = ("application_name", "statement_timeout", "lock_timeout", "jit")
    async with open_pool(database_dsn, application="test-of-pools") as pool:
        assert [await pool.fetchval(f"SHOW {name}") for name in asked] == ["test-of-pools", "2s", "1s", "off"]


async def test_a_transaction_left_open_is_rolled_back(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test", limits=PoolLimits(min_size=1, max_size=1)) as pool:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; CREATE TABLE left_open ()")
        assert await pool.fetchval("SELECT to_regclass('left_open')") is None


async def test_leaving_does_not_wait_for_a_borrower_for_ever(database_dsn: str) -> None:
    limits = PoolLimits(min_size=1, close_timeout=0.1)
    async with open_pool(database_dsn, application="test", limits=limits) as pool:
        held = await pool.acquire()
    with pytest.raises(asyncpg.InterfaceError):
        await held.execute("SELECT 1")


async def test_an_exhausted_pool_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(
        database_dsn, application="test", limits=PoolLimits(min_size=1, max_size=1, close_timeout=0.1)
    ) as pool:
        await pool.acquire()
        with pytest.raises(StorageUnavailable):
            await borrow(pool, patience=0.05).__aenter__()


async def test_a_statement_over_its_time_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test", limits=PoolLimits(statement_timeout=0.05)) as pool:
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as connection:
                await connection.execute("SELECT pg_sleep(5)")


async def test_a_connection_that_did_not_answer_in_time_is_not_used_again(database_dsn: str) -> None:
    session = "SELECT pg_backend_pid()"
    async with open_pool(database_dsn, application="test", limits=PoolLimits(min_size=1, max_size=1)) as pool:
        before = await pool.fetchval(session)
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as connection:
                await connection.execute("SELECT pg_sleep(1)", timeout=0.05)
        assert await pool.fetchval(session) != before


async def test_a_connection_that_the_driver_lost_track_of_is_not_used_again(database_dsn: str) -> None:
    session = "SELECT pg_backend_pid()"
    async with open_pool(database_dsn, application="test", limits=PoolLimits(min_size=1, max_size=1)) as pool:
        before = await pool.fetchval(session)
        with pytest.raises(StorageUnavailable):
            async with borrow(pool):
                raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
        assert await pool.fetchval(session) != before


async def test_a_lock_not_given_in_time_is_unavailable_storage(database_dsn: str) -> None:
    limits = PoolLimits(lock_timeout=0.05)
    async with open_pool(database_dsn, application="test", limits=limits) as pool, borrow(pool) as holder:
        await holder.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as waiter:
                await waiter.execute("SELECT pg_advisory_xact_lock(1)")


async def test_a_session_ended_by_the_server_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await pool.fetchval("SELECT 1") == 1


async def test_a_read_only_server_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as connection, connection.transaction(readonly=True):
                await connection.execute("CREATE TABLE refused ()")


async def test_a_row_that_a_trigger_refuses_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        with pytest.raises(StorageUnavailable):
            async with borrow(pool) as connection:
                await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$")


async def test_a_closed_pool_is_unavailable_storage(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        pass
    with pytest.raises(StorageUnavailable):
        await borrow(pool).__aenter__()


@pytest.mark.parametrize("change", [("/test_", "/missing_"), ("//tokhub:", "//x:")])
async def test_a_server_that_lets_nobody_in_is_unavailable_storage(database_dsn: str, change: tuple[str, str]) -> None:
    with pytest.raises(StorageUnavailable):
        async with open_pool(database_dsn.replace(*change), application="test"):
            pass


async def test_a_server_that_is_not_there_is_unavailable_storage() -> None:
    with pytest.raises(StorageUnavailable):
        async with open_pool("postgresql://user:secret@127.0.0.1:1/database", application="test"):
            pass


async def test_a_mistake_in_a_statement_is_no_storage_trouble(database_dsn: str) -> None:
    async with open_pool(database_dsn, application="test") as pool:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with borrow(pool) as connection:
                await connection.execute("SELECT * FROM nowhere")


def test_the_cause_stays_attached_and_unspoken() -> None:
    with pytest.raises(StorageUnavailable) as unavailable, storage_errors():
        raise ConnectionRefusedError("secret detail")
    assert isinstance(unavailable.value.__cause__, ConnectionRefusedError)
    assert "secret" not in str(unavailable.value)
