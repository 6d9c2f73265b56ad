"""While a token service runs, its journal heals rows, and a journal that cannot be read is not kept secret."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from libs.errors import StorageUnavailable
from services.token.adapters.journal import journal
from services.token.adapters.journal.records import HEADER_BYTES
from services.token.adapters.restoring import PostgresReplay
from services.token.core import sight
from services.token.core.journal import Entry
from services.token.core.journal_keeping import JournalKeeper
from tests.token.conftest import House
from tests.token.counting_provider import QuickClock
from tests.token.test_journal_replay import back_to_yesterday, found
from tests.token.test_sight import REJECTED, keeping, spent_since_yesterday


async def until_intact(keeper: JournalKeeper, wanted: bool) -> None:
    async with asyncio.timeout(10):
        while keeper.intact is not wanted:
            await QuickClock().sleep(0.01)


def flip(path: Path) -> None:
    """Damage a journal, or undo that."""
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES] ^= 0x40
    path.write_bytes(content)


async def test_a_journal_damaged_while_it_is_used_is_told_until_it_opens(house: House, tmp_path: Path) -> None:
    async with keeping(house, tmp_path) as keeper:
        await spent_since_yesterday(house, house.replica())
        flip(tmp_path / "replica-1.journal")
        with capture_logs() as logs:
            keeper.wake()
            await until_intact(keeper, False)
        flip(tmp_path / "replica-1.journal")
        await until_intact(keeper, True)

    assert "is damaged at byte" in logs[0]["why"]


async def test_nothing_is_refreshed_while_a_lost_database_cannot_be_healed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "PATIENCE", 0.1)
    async with keeping(house, tmp_path) as keeper:
        replica = house.replica()
        connection = await spent_since_yesterday(house, replica)
        flip(tmp_path / "replica-1.journal")
        house.sight.lose()
        await back_to_yesterday(house)
        keeper.wake()
        await until_intact(keeper, False)
        with pytest.raises(StorageUnavailable):
            await replica.refresher.refresh(connection, REJECTED)

    assert house.provider.dead_presented == []


class Unlucky(PostgresReplay):
    """Rows that fail at the first look in a way that nobody foresaw, and heal when they are looked at again."""

    looks = 0

    async def are_put_back(self) -> bool:
        self.looks += 1
        if self.looks == 1:
            raise LookupError
        return True


async def test_rows_put_back_are_looked_for_again_after_any_failure(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    async with house.open_journal(tmp_path, "died") as died:
        grant = house.provider.mint(connection.account_id)
        await died.keep(Entry.of(connection, connection.version.refreshed(), grant, QuickClock().now()))
    async with keeping(house, tmp_path, Unlucky):
        async with asyncio.timeout(10):
            while (await found(house, connection)).version.generation < 2:
                await QuickClock().sleep(0.01)


async def test_a_compaction_that_fails_in_any_way_is_tried_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unforeseen(_body: bytes) -> Entry:
        raise LookupError

    connection = await house.connect()
    with capture_logs() as logs:
        async with keeping(house, tmp_path):
            await house.journal.keep(Entry.of(connection, connection.version, None, QuickClock().now()))
            monkeypatch.setattr(journal, "read_entry", unforeseen)
            async with asyncio.timeout(10):
                while [line["event"] for line in logs].count("the journal could not be compacted") < 2:
                    await QuickClock().sleep(0.01)


async def test_the_journal_of_a_process_that_has_died_since_heals_too(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    async with keeping(house, tmp_path) as keeper:
        async with house.open_journal(tmp_path, "died") as died:
            grant = house.provider.mint(connection.account_id)
            await died.keep(Entry.of(connection, connection.version.refreshed(), grant, QuickClock().now()))
        house.sight.lose()
        keeper.wake()
        await house.sight.wait()

    assert (await found(house, connection)).version.generation == 2
