import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from libs.clock import SystemClock
from libs.database.dsn import Dsn
from libs.database.embedded import EmbeddedPostgres
from libs.database.notify import NotificationListener

END_LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'tokhub-listen'
"""


Speaker: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Heard:
    """What a listener called, in order."""

    def __init__(self, dsn: str) -> None:
        self.calls: asyncio.Queue[str] = asyncio.Queue()
        self.listener = NotificationListener(
            dsn,
            handlers={"Rotated tokens": self.calls.put_nowait},
            on_gap=lambda: self.calls.put_nowait("gap"),
            clock=SystemClock(),
        )

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return await self.calls.get()


@pytest.fixture
async def heard(database_dsn: str) -> AsyncIterator[Heard]:
    heard = Heard(database_dsn)
    async with heard.listener:
        yield heard


@pytest.fixture
async def speaker(database_dsn: str) -> AsyncIterator[Speaker]:
    connection = await asyncpg.connect(database_dsn)
    yield connection
    await connection.close()


async def say(speaker: Speaker, text: str) -> None:
    await speaker.execute("SELECT pg_notify('Rotated tokens', $1)", text)


async def test_a_payload_reaches_its_handler(heard: Heard, speaker: Speaker) -> None:
    assert await heard.next() == "gap"
    await say(speaker, "ü:1")
    assert await heard.next() == "ü:1"


async def test_a_cut_connection_is_a_gap_and_heals(heard: Heard, speaker: Speaker) -> None:
    assert await heard.next() == "gap"
    await speaker.execute(END_LISTENERS)
    assert await heard.next() == "gap"
    await say(speaker, "after")
    assert await heard.next() == "after"


async def test_a_quiet_channel_is_known_to_be_alive(heard: Heard) -> None:
    await heard.listener.connected()
    first = heard.listener.last_alive
    await asyncio.sleep(1.5)
    assert first < heard.listener.last_alive <= SystemClock().monotonic()


async def test_a_frozen_connection_is_replaced(heard: Heard, speaker: Speaker) -> None:
    assert await heard.next() == "gap"
    backend = await speaker.fetchval("SELECT pid FROM pg_stat_activity WHERE application_name = 'tokhub-listen'")
    os.kill(backend, signal.SIGSTOP)
    try:
        assert await heard.next() == "gap"
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_a_dead_channel_grows_old(postgres_server: EmbeddedPostgres, database_dsn: str, heard: Heard) -> None:
    await heard.listener.connected()
    elsewhere = await asyncpg.connect(postgres_server.dsn())
    database = Dsn.parse(database_dsn).database
    await elsewhere.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    await elsewhere.execute(END_LISTENERS)
    await elsewhere.close()
    ended = SystemClock().monotonic()
    await asyncio.sleep(1.0)
    assert heard.listener.last_alive < ended


async def test_a_missing_database_does_not_hold_up_the_start() -> None:
    heard = Heard("postgresql://user:secret@127.0.0.1:1/database")
    async with heard.listener:
        assert heard.listener.last_alive == -math.inf


async def test_a_server_that_is_not_the_primary_yet_is_tried_again(database_dsn: str, speaker: Speaker) -> None:
    database = Dsn.parse(database_dsn).database
    await speaker.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    heard = Heard(f"{database_dsn}?target_session_attrs=read-write")
    async with heard.listener:
        await asyncio.sleep(0.5)
        await speaker.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        assert await heard.next() == "gap"
