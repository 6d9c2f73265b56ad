"""An old row in the place of a newer one, by somebody's hand: seen before its spent token is presented, and healed."""

import asyncio
from pathlib import Path

import pytest

from libs.errors import ReauthRequired, StorageUnavailable
from services.token.domain.connection import Connection, Status
from tests.token.conftest import House, store
from tests.token.test_damaged_rows import status_of
from tests.token.test_journal_replay import back_to_yesterday, found, yesterday
from tests.token.test_sight import keeping


async def put_back(house: House) -> Connection:
    """Refresh a connection twice, and put its first row in the place of what came of that."""
    connection = await house.connect()
    await yesterday(house)
    replica = house.replica()
    for request in ("one", "two"):
        await replica.tokens.refresh(store("shop-1"), request)
        await replica.refresher.drain()
    await back_to_yesterday(house)
    return connection


async def refused(house: House, request: str) -> None:
    with pytest.raises(StorageUnavailable, match="older one"):
        await house.replica().tokens.refresh(store("shop-1"), request)


async def test_the_token_of_a_row_put_back_is_not_presented(house: House) -> None:
    await put_back(house)

    await refused(house, "three")

    assert house.provider.dead_presented == []
    assert await status_of(house, "shop-1") == (Status.SUSPECT, "put_back")


async def test_a_journal_heals_a_row_that_was_put_back(house: House, tmp_path: Path) -> None:
    async with keeping(house, tmp_path):
        connection = await put_back(house)
        await refused(house, "three")
        async with asyncio.timeout(20):
            while (await found(house, connection)).status is not Status.ACTIVE:
                await house.pool.execute("SELECT pg_sleep(0.01)")

    assert (await found(house, connection)).version.generation == 3
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_without_a_journal_the_row_is_tried_once_and_named(house: House) -> None:
    await put_back(house)
    await refused(house, "three")
    await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")

    with pytest.raises(ReauthRequired) as caught:
        await house.replica().tokens.refresh(store("shop-1"), "four")

    assert caught.value.metadata["why"] == "lost_response"
    assert len(house.provider.dead_presented) == 1


async def test_a_row_that_was_connected_again_is_not_one_put_back(house: House) -> None:
    await house.connect()
    await house.replica().tokens.refresh(store("shop-1"), "one")
    await house.connect()

    assert (await house.replica().tokens.refresh(store("shop-1"), "two")).version.generation == 4


async def test_a_lagging_server_is_noticed_before_anybody_has_heard_of_the_failover(house: House) -> None:
    connection, replica = await house.connect(), house.replica()
    await yesterday(house)
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()
    await back_to_yesterday(house)
    await house.pool.execute("DELETE FROM connection_events WHERE generation > $1", connection.version.generation)

    with pytest.raises(StorageUnavailable, match="older one"):
        await replica.tokens.refresh(store("shop-1"), "two")

    assert house.provider.dead_presented == []
