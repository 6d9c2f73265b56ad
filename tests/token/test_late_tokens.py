"""Tokens that arrive after a disconnect are ended at TikTok, whatever fails on the way and whoever dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.errors import ReauthRequired, StorageUnavailable
from libs.rpc.client import open_channel
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.revocations import PostgresRevocations
from services.token.core.journal import Entry, replay
from services.token.domain.connection import ById, Connection, Need
from tests.token.conftest import House, Replica
from tests.token.shop_client import Shops, by_id
from tests.token.test_disconnecting import connect, live_grants, revoke_due
from tests.token.token_process import FREE_DISK, FULL_DISK, environment, running


def revocations(house: House) -> PostgresRevocations:
    return PostgresRevocations(pool=house.pool, replica="replica-2")


async def queued(house: House) -> int:
    count: int = await house.pool.fetchval("SELECT count(*) FROM revocations")
    return count


async def late_entry(house: House, connection: Connection) -> Entry:
    """Return what the journal of a killed process says of a rotation it could not save."""
    grant = house.provider.mint(connection.account_id)
    return Entry.of(connection, connection.version.refreshed(), grant, SystemClock().now())


async def replayed(house: House, *entries: Entry) -> int:
    return await replay(entries, PostgresReplay(pool=house.pool, vault=house.vault))


async def disconnected_by_webhook(shops: Shops) -> None:
    """End the only connection and queue nothing: TikTok says that its grant has ended."""
    await shops.pool.execute("UPDATE connections SET status = 'DISCONNECTED', epoch = epoch + 1")


@asynccontextmanager
async def overtaken(house: House, replica: Replica) -> AsyncIterator[Connection]:
    """A refresh that is on its way while its connection is disconnected; it lands at the end."""
    connection = await house.connect()
    house.provider.gate.clear()
    need = Need(min_ttl=0, spent_generation=connection.version.generation)
    late = asyncio.create_task(replica.refresher.refresh(connection, need))
    await house.provider.arrived.wait()
    await revocations(house).disconnect(ById(id=connection.id))
    await house.pool.execute("DELETE FROM revocations")
    yield connection
    house.provider.gate.set()
    with pytest.raises(ReauthRequired):
        await late


async def test_a_disconnect_beats_a_refresh_and_its_tokens_are_queued_to_be_ended(house: House) -> None:
    async with overtaken(house, house.replica()) as connection:
        pass

    (pending,) = await revocations(house).take(None, 5)
    assert pending.version == connection.version.refreshed()
    assert house.vault.faults(pending.sealed, pending.connection_id, pending.version) == {}
    assert 7000 < pending.seconds_left <= 7200


async def test_late_tokens_wait_for_a_database_that_cannot_queue_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = house.replica()
    restore, failures = PostgresReplay.restore, iter([StorageUnavailable(), OSError()])

    async def fail_first(rows: PostgresReplay, late: Entry) -> bool:
        for failure in failures:
            raise failure
        return await restore(rows, late)

    monkeypatch.setattr(PostgresReplay, "restore", fail_first)
    async with overtaken(house, replica):
        pass

    assert await queued(house) == 1


async def test_a_replay_queues_late_tokens_once(house: House) -> None:
    connection = await house.connect()
    entry = await late_entry(house, connection)
    await revocations(house).disconnect(ById(id=connection.id))
    await house.pool.execute("DELETE FROM revocations")

    assert [await replayed(house, entry) for _ in range(2)] == [0, 0]

    assert await queued(house) == 1


async def test_a_replay_leaves_tokens_alone_that_were_saved_before_the_disconnect(house: House) -> None:
    connection = await house.connect()
    entry = await late_entry(house, connection)
    await replayed(house, entry)
    await revocations(house).disconnect(ById(id=connection.id))
    await house.pool.execute("DELETE FROM revocations")

    await replayed(house, entry)

    assert await queued(house) == 0


async def test_late_tokens_of_an_account_that_is_connected_again_are_left_alone(house: House) -> None:
    connection = await house.connect("shop-1", account="the account")
    entry = await late_entry(house, connection)
    await revocations(house).disconnect(ById(id=connection.id))
    await replayed(house, entry)

    await house.connect("shop-2", account="the account")

    assert await revocations(house).take(None, 5) == []


async def test_a_later_connect_has_another_generation_than_late_tokens(house: House) -> None:
    connection = await house.connect()
    entry = await late_entry(house, connection)
    await revocations(house).disconnect(ById(id=connection.id))
    await replayed(house, entry)

    again = await house.connect()

    assert again.version.generation > entry.version.generation


async def test_a_disconnect_that_the_database_forgot_ends_the_grant_it_came_back_with(house: House) -> None:
    connection = await house.connect()
    gone = Entry.of(connection, connection.version.connected(), None, SystemClock().now())

    assert [await replayed(house, gone) for _ in range(2)] == [1, 0]

    (pending,) = await revocations(house).take(None, 5)
    assert pending.version == connection.version
    assert await house.pool.fetchval("SELECT length(access_token) + length(refresh_token) FROM connections") == 0


async def test_a_late_revoke_that_fails_is_tried_again(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    shops.sandbox.fault("slow", account, endpoint="token", seconds=0.4)
    refreshing = asyncio.create_task(shops.refresh(connection))
    await asyncio.sleep(0.2)
    await disconnected_by_webhook(shops)
    await asyncio.gather(refreshing, return_exceptions=True)
    shops.sandbox.fault("503", account, endpoint="revoke")

    await revoke_due(shops)
    after_failure = live_grants(shops, account)
    await revoke_due(shops)

    assert (after_failure, live_grants(shops, account)) == (1, 0)


async def test_late_tokens_of_a_killed_process_are_ended_by_its_heir(
    shops: Shops, token_dsn: str, tmp_path: Path
) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    await shops.pool.execute("UPDATE connections SET access_expires_at = clock_timestamp()")
    await shops.pool.execute(FULL_DISK)
    environ = environment(token_dsn, shops.sandbox, tmp_path)
    async with running(environ) as service, open_channel(service.target) as channel:
        request = token_pb2.GetValidTokenRequest(connection=by_id(connection))
        await token_pb2_grpc.TokenServiceStub(channel).GetValidToken(request)
        await disconnected_by_webhook(shops)
        service.process.kill()
    await shops.pool.execute(FREE_DISK)

    before = live_grants(shops, account)
    async with running(environ):
        pass
    await revoke_due(shops)

    assert (before, live_grants(shops, account)) == (1, 0)
