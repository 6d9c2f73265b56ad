"""A disconnect that somebody was told of outlives a restored database, and one that failed ends nothing days later."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.errors import ConnectionNotFound, StorageUnavailable
from services.token.adapters.journal.journal import FileJournal
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.revocations import PostgresRevocations
from services.token.core.disconnection import Disconnection, Parts
from services.token.core.journal import Entry, replay
from services.token.domain.connection import ById, Connection, Provider, Status
from tests.token.conftest import House, store
from tests.token.test_journal_replay import back_to_yesterday, found, yesterday


class Died(BaseException):
    """Stands for the end of the process."""


class Rows(PostgresRevocations):
    """Rows of a process that can die, or lose its database, before or after the transaction of a disconnect."""

    before: BaseException | None = None
    after: BaseException | None = None

    async def disconnect(self, reference: Any) -> tuple[Connection, bool] | None:
        if self.before:
            raise self.before
        ended = await super().disconnect(reference)
        if self.after:
            raise self.after
        return ended


@pytest.fixture
async def journal(house: House, tmp_path: Path) -> AsyncIterator[FileJournal]:
    async with house.open_journal(tmp_path, "replica-1") as one:
        yield one


@pytest.fixture
def rows(house: House) -> Rows:
    return Rows(pool=house.pool, replica="replica-1")


@pytest.fixture
def disconnection(house: House, rows: Rows, journal: FileJournal) -> Disconnection:
    parts = Parts(
        connections=house.replica().connections,
        rows=rows,
        providers={Provider.LOGIN_KIT: house.provider},
        journal=journal,
        replay=PostgresReplay(pool=house.pool, vault=house.vault),
        vault=house.vault,
    )
    return Disconnection(parts)


async def replayed(house: House, journal: FileJournal) -> None:
    await replay(await journal.entries(), PostgresReplay(pool=house.pool, vault=house.vault))


async def status(house: House, connection: Connection) -> Status:
    return (await found(house, connection)).status


async def rotated(house: House, connection: Connection) -> Entry:
    """Refresh a connection in its row as another replica does."""
    entry = Entry.of(connection, connection.version.refreshed(), house.provider.mint("other"), connection.read_at)
    await PostgresReplay(pool=house.pool, vault=house.vault).restore(entry)
    return entry


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_disconnect_whose_process_died_stands_in_an_older_copy_too(
    house: House, rows: Rows, journal: FileJournal, disconnection: Disconnection, point: str
) -> None:
    connection = await house.connect()
    await yesterday(house)
    setattr(rows, point, Died())

    with pytest.raises(Died):
        await disconnection._end(store("shop-1"))
    await back_to_yesterday(house)
    await replayed(house, journal)

    assert await status(house, connection) is Status.DISCONNECTED
    assert await rows.pending(connection.id)


async def test_a_disconnect_that_could_not_be_written_follows_when_it_can_be(
    house: House, rows: Rows, disconnection: Disconnection
) -> None:
    connection = await house.connect()
    rows.before = StorageUnavailable()

    with pytest.raises(StorageUnavailable, match="on record and follows"):
        await disconnection.disconnect(store("shop-1"))
    before = await status(house, connection)
    await rotated(house, connection)
    await disconnection.carry_out_owed()

    now = await found(house, connection)
    assert (before, now.status) == (Status.ACTIVE, Status.DISCONNECTED)
    assert now.version.generation == connection.version.generation + 1


async def test_a_disconnect_that_a_hanging_disk_may_still_write_follows_at_once(
    house: House, rows: Rows, journal: FileJournal, disconnection: Disconnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    keep = journal.keep

    async def keep_late(entry: Entry) -> bool:
        await keep(entry)
        return False

    monkeypatch.setattr(journal, "keep", keep_late)
    rows.before = StorageUnavailable()
    with pytest.raises(StorageUnavailable, match="on no record"):
        await disconnection.disconnect(store("shop-1"))
    await disconnection.carry_out_owed()

    assert await status(house, connection) is Status.DISCONNECTED


async def test_a_disconnect_that_comes_to_be_owed_while_another_is_carried_out_follows_too(
    house: House, rows: Rows, disconnection: Disconnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, again = disconnection._replay, None
    restore = replay.restore

    async def owe_another(entry: Entry) -> bool:
        monkeypatch.setattr(replay, "restore", restore)
        nonlocal again
        again = await house.connect()
        with pytest.raises(StorageUnavailable):
            await disconnection.disconnect(store("shop-1"))
        return await restore(entry)

    await house.connect()
    rows.before = StorageUnavailable()
    with pytest.raises(StorageUnavailable):
        await disconnection.disconnect(store("shop-1"))
    monkeypatch.setattr(replay, "restore", owe_another)
    await disconnection.carry_out_owed()
    await disconnection.carry_out_owed()

    assert again is not None
    assert await status(house, again) is Status.DISCONNECTED


@pytest.mark.parametrize("how", ["owed", "replayed"])
async def test_a_disconnect_that_failed_leaves_a_later_connect_alone(
    house: House, rows: Rows, journal: FileJournal, disconnection: Disconnection, how: str
) -> None:
    await house.connect()
    rows.before = StorageUnavailable()
    with pytest.raises(StorageUnavailable):
        await disconnection.disconnect(store("shop-1"))

    again = await house.connect()
    await (disconnection.carry_out_owed() if how == "owed" else replayed(house, journal))

    assert await status(house, again) is Status.ACTIVE


async def test_a_caller_who_leaves_does_not_stop_a_disconnect(
    house: House, rows: Rows, disconnection: Disconnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    begun, go_on = asyncio.Event(), asyncio.Event()
    disconnect = rows.disconnect

    async def slowly(reference: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await disconnect(reference)

    monkeypatch.setattr(rows, "disconnect", slowly)
    caller = asyncio.create_task(disconnection.disconnect(store("shop-1")))
    await begun.wait()
    caller.cancel()
    await asyncio.wait({caller})
    go_on.set()
    await disconnection.drain()

    assert await status(house, connection) is Status.DISCONNECTED


async def test_a_rotation_that_came_in_between_is_in_the_journaled_disconnect(
    house: House, journal: FileJournal, disconnection: Disconnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    keep = journal.keep

    async def rotate_then_keep(entry: Entry) -> bool:
        monkeypatch.setattr(journal, "keep", keep)
        await rotated(house, connection)
        return await keep(entry)

    monkeypatch.setattr(journal, "keep", rotate_then_keep)
    ended, _ = await disconnection.disconnect(ById(id=connection.id))

    assert [entry.version for entry in await journal.entries()] == [ended.version]


async def test_what_is_not_connected_leaves_no_word_in_the_journal(
    journal: FileJournal, disconnection: Disconnection
) -> None:
    with pytest.raises(ConnectionNotFound):
        await disconnection.disconnect(store("nobody"))

    assert await journal.entries() == []
