"""A connection that is cut in the middle of a commit costs nobody a token, whichever half is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from libs.database.pool import Pool, open_pool
from libs.errors import StorageUnavailable
from services.token.__main__ import SCHEMA
from services.token.adapters import leases
from services.token.adapters.connections import PostgresConnections
from services.token.core.refresh import LEASE
from services.token.domain.connection import Need
from tests.faults.proxy import CutAtCommit, Proxy, Side, proxied
from tests.token.conftest import House

CLAIMING = b"lease_number + 1"
REJECTED = Need(min_ttl=0, spent_generation=1)


@asynccontextmanager
async def behind_proxy(dsn: str) -> AsyncIterator[tuple[Proxy, Pool]]:
    source = urlsplit(dsn)
    async with proxied("127.0.0.1", source.port or 0) as proxy:
        cut_off = dsn.replace(f":{source.port}/", f":{proxy.port}/")
        async with open_pool(cut_off, application="test", schema=SCHEMA) as pool:
            yield proxy, pool


async def intents(house: House) -> int:
    kinds = await house.pool.fetch("SELECT kind FROM connection_events WHERE kind = 'REFRESH_INTENT'")
    return len(kinds)


@pytest.mark.parametrize("side", Side)
async def test_a_claim_cut_at_its_commit_is_had_at_once(house: House, token_dsn: str, side: Side) -> None:
    connection = await house.connect()
    async with behind_proxy(token_dsn) as (proxy, pool):
        proxy.cut = CutAtCommit(CLAIMING, side)
        lease = await PostgresConnections(pool=pool, replica="cut off").claim(connection.id, REJECTED, lease=LEASE)

    assert (proxy.cut.done, lease is not None, await intents(house)) == (True, True, 1)


async def test_a_presentation_is_counted_once_though_its_claim_was_cut(house: House, token_dsn: str) -> None:
    connection = await house.connect()
    await house.pool.execute("UPDATE connections SET status = 'SUSPECT'")
    async with behind_proxy(token_dsn) as (proxy, pool):
        proxy.cut = CutAtCommit(CLAIMING, Side.ANSWER)
        lease = await PostgresConnections(pool=pool, replica="cut off").claim(connection.id, REJECTED, lease=LEASE)

    assert lease is not None
    assert lease.unanswered == 0


async def test_a_claim_cut_at_its_commit_still_knows_of_another_call_on_its_way(house: House, token_dsn: str) -> None:
    connection = await house.connect()
    assert await house.replica("paused").connections.claim(connection.id, REJECTED, lease=0)
    await house.expire(connection)
    async with behind_proxy(token_dsn) as (proxy, pool):
        proxy.cut = CutAtCommit(CLAIMING, Side.ANSWER)
        lease = await PostgresConnections(pool=pool, replica="cut off").claim(connection.id, REJECTED, lease=LEASE)

    assert lease is not None
    assert lease.foreign_for is not None


async def test_a_claim_whose_caller_was_refused_is_had_by_the_next(
    house: House, token_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "was_cut", lambda _error: False)
    connection = await house.connect()
    async with behind_proxy(token_dsn) as (proxy, pool):
        connections = PostgresConnections(pool=pool, replica="cut off")
        proxy.cut = CutAtCommit(CLAIMING, Side.ANSWER)
        with pytest.raises(StorageUnavailable):
            await connections.claim(connection.id, REJECTED, lease=LEASE)

        lease = await connections.claim(connection.id, REJECTED, lease=LEASE)

    assert (lease is not None, await intents(house)) == (True, 1)


async def test_the_lease_of_a_call_that_was_made_is_not_had_again(house: House) -> None:
    connection = await house.connect()
    connections = house.replica().connections
    await connections.claim(connection.id, REJECTED, lease=LEASE)

    assert await connections.claim(connection.id, REJECTED, lease=LEASE) is None
