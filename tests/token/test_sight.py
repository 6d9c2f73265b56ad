"""Rows that may have gone back in time are not refreshed: their refresh tokens may be spent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from libs.errors import StorageUnavailable
from services.token.adapters.restoring import PostgresReplay
from services.token.core import sight
from services.token.core.connections import Lease
from services.token.core.journal_keeping import JournalKeeper
from services.token.core.sight import Sight
from services.token.domain.connection import Connection, Need
from tests.token.conftest import House, Replica
from tests.token.counting_provider import QuickClock
from tests.token.test_journal_replay import back_to_yesterday, yesterday

REJECTED = Need(min_ttl=0, spent_generation=1)


async def spent_since_yesterday(house: House, replica: Replica) -> Connection:
    """Return a connection as a copy of the database has it; its refresh token has been spent since."""
    connection = await house.connect()
    await yesterday(house)
    await replica.refresher.refresh(connection, REJECTED)
    await replica.refresher.drain()
    return connection


@asynccontextmanager
async def keeping(
    house: House, directory: Path, rows: type[PostgresReplay] = PostgresReplay
) -> AsyncIterator[JournalKeeper]:
    """Journal what this house is given, and hold it against the rows when woken."""
    async with house.open_journal(directory, "replica-1") as journal:
        house.journal = journal
        keeper = JournalKeeper(
            journal=journal,
            rows=rows(pool=house.pool, vault=house.vault),
            watch=house.watch("replica-1"),
            sight=house.sight,
            clock=QuickClock(),
        )
        async with keeper:
            yield keeper


async def test_nothing_is_presented_while_the_database_is_out_of_sight(house: House) -> None:
    connection = await house.connect()
    house.sight.lose()

    asking = asyncio.create_task(house.replica().refresher.refresh(connection, REJECTED))
    await asyncio.sleep(0.2)
    presented_before = list(house.provider.presented)
    house.sight.regain(house.sight.mark)
    await asking

    assert (presented_before, house.provider.refreshes) == ([], 1)


async def test_a_lease_taken_while_the_rows_went_back_is_left_unspent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, replica = await house.connect(), house.replica()
    claim = replica.connections.claim

    async def claim_and_lose(connection_id: UUID, need: Need, *, lease: float) -> Lease | None:
        taken = await claim(connection_id, need, lease=lease)
        if not house.sight.mark:
            house.sight.lose()
        return taken

    monkeypatch.setattr(replica.connections, "claim", claim_and_lose)
    asking = asyncio.create_task(replica.refresher.refresh(connection, REJECTED))
    await asyncio.sleep(0.2)
    presented_before = list(house.provider.presented)
    house.sight.regain(house.sight.mark)
    await asking

    assert (presented_before, house.provider.refreshes) == ([], 1)


async def test_a_lease_that_could_not_be_given_back_is_taken_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, replica = await house.connect(), house.replica()
    claim = replica.connections.claim

    async def claim_and_lose(connection_id: UUID, need: Need, *, lease: float) -> Lease | None:
        taken = await claim(connection_id, need, lease=lease)
        if not house.sight.mark:
            house.sight.lose()
        return taken

    async def cut(*_: object) -> bool:
        house.sight.regain(house.sight.mark)
        raise StorageUnavailable

    monkeypatch.setattr(replica.connections, "claim", claim_and_lose)
    monkeypatch.setattr(replica.connections, "give_back", cut)
    async with asyncio.timeout(10):
        held = await replica.refresher.refresh(connection, REJECTED)

    assert (held.connection.version.generation, house.provider.refreshes) == (2, 1)


async def test_rows_that_went_back_are_healed_before_they_are_refreshed(house: House, tmp_path: Path) -> None:
    async with keeping(house, tmp_path) as keeper:
        replica = house.replica()
        connection = await spent_since_yesterday(house, replica)
        house.sight.lose()
        await back_to_yesterday(house)
        asking = asyncio.create_task(replica.refresher.refresh(connection, REJECTED))
        keeper.wake()
        held = await asking

    assert (held.connection.version.generation, house.provider.dead_presented) == (2, [])


async def test_new_tokens_are_saved_to_a_row_that_went_back_meanwhile(house: House) -> None:
    replica = house.replica()
    connection = await spent_since_yesterday(house, replica)
    house.provider.arrived.clear()
    house.provider.gate.clear()
    late = asyncio.create_task(replica.refresher.refresh(connection, Need(min_ttl=0, spent_generation=2)))
    await house.provider.arrived.wait()
    await back_to_yesterday(house)

    house.provider.gate.set()
    held = await late

    assert held.connection.version.generation == 3
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_a_replay_heals_nothing_that_was_lost_after_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "PATIENCE", 0.05)
    seen = Sight()
    seen.lose()
    mark = seen.mark
    seen.lose()

    seen.regain(mark)

    with pytest.raises(StorageUnavailable):
        await seen.wait()
