"""A journal gives back every entry that was kept, notices damage, and forgives a record that was cut off."""

import asyncio
import errno
import os
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import pytest

from libs.errors import StorageUnavailable
from libs.secret import Secret
from libs.vault.ring import KeyRing
from services.token.adapters.journal import journal as journal_module
from services.token.adapters.journal.file import JournalFile, Record
from services.token.adapters.journal.journal import KEPT, FileJournal, Mode, Place
from services.token.adapters.journal.ownership import TURN
from services.token.adapters.journal.records import HEADER_BYTES, read_bodies
from services.token.core.journal import Entry, JournalCorrupt, VerifiedJournal
from services.token.domain.connection import Owner, OwnerKind, Provider, Version
from services.token.domain.grant import Grant
from tests.token.counting_provider import QuickClock

DATABASE = UUID(int=7)
RING = KeyRing({"k1": bytes(range(32))}, active="k1")


def journal(directory: Path, name: str = "one", mode: Mode = Mode.REQUIRED) -> FileJournal:
    place = Place(directory=directory, name=name, database=DATABASE)
    return FileJournal(place, ring=RING, clock=QuickClock(), mode=mode)


def entry(number: int = 1, generation: int = 1) -> Entry:
    grant = Grant(
        provider=Provider.LOGIN_KIT,
        account_id=f"account {number}",
        access_token=Secret("act.secret"),
        access_seconds=7200,
        access_given=7200,
        refresh_token=Secret("rft.secret"),
        refresh_seconds=None,
        refresh_given=None,
        scopes=("video.list",),
    )
    return Entry(
        connection_id=UUID(int=number),
        provider=Provider.LOGIN_KIT,
        owner=Owner(kind=OwnerKind.STORE, id=f"shop-{number}"),
        team_id=1,
        account_id=grant.account_id,
        version=Version(epoch=1, generation=generation),
        grant=grant,
        received_at=QuickClock().now(),
    )


async def test_what_one_process_kept_the_next_inherits(tmp_path: Path) -> None:
    kept = [entry(1), entry(2), replace(entry(3), grant=None)]
    async with journal(tmp_path) as first:
        assert await asyncio.gather(*(first.keep(one) for one in kept)) == [True] * 3

    async with journal(tmp_path, "two") as second, second.taking_over() as inheritance:
        pass

    assert (list(inheritance.entries), list(inheritance.dead)) == (kept, ["one"])


async def test_an_inheritance_is_handed_on(tmp_path: Path) -> None:
    async with journal(tmp_path) as first:
        await first.keep(entry())
    async with journal(tmp_path, "two") as second, second.taking_over():
        pass

    async with journal(tmp_path, "three") as third:
        async with third.taking_over():
            pass
        assert [one.connection_id for one in await third.entries()] == [UUID(int=1)]


async def test_only_the_newest_entry_of_a_connection_counts(tmp_path: Path) -> None:
    async with journal(tmp_path) as first:
        for generation in (1, 3, 2):
            await first.keep(entry(1, generation))

        assert [one.version.generation for one in await first.entries()] == [3]


async def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    async with journal(tmp_path) as living, journal(tmp_path, "two") as other:
        await living.keep(entry())

        async with other.taking_over() as inheritance:
            assert not inheritance.entries


async def test_who_comes_second_waits_until_the_first_has_settled(tmp_path: Path) -> None:
    order = []

    async def second_takes_over() -> None:
        async with journal(tmp_path, "two") as two, two.taking_over():
            order.append("second")

    async with journal(tmp_path) as one, one.taking_over():
        waiting = asyncio.create_task(second_takes_over())
        await asyncio.sleep(0.2)
        order.append("first")
    await waiting

    assert order == ["first", "second"]


async def test_an_inheritance_that_could_not_be_settled_is_left_for_another_try(tmp_path: Path) -> None:
    async with journal(tmp_path) as first:
        await first.keep(entry())
    async with journal(tmp_path, "two") as second:
        with pytest.raises(StorageUnavailable):
            async with second.taking_over():
                raise StorageUnavailable

        async with second.taking_over() as inheritance:
            assert list(inheritance.dead) == ["one"]


def contents(path: Path) -> bytes:
    return path.read_bytes()


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def written(directory: Path, bodies: list[bytes]) -> Path:
    file = JournalFile(directory, "file", ring=RING, database=DATABASE)
    file.publish()
    for body in bodies:
        file.append([Record(UUID(int=1), body)])
    file.close()
    return file.path


def test_a_record_cut_off_anywhere_costs_only_itself(tmp_path: Path) -> None:
    whole = written(tmp_path, [b"first", b"second"])
    content = whole.read_bytes()
    last = whole.stat().st_size - len(RING.seal(b"second", b"")) - 8

    for length in range(last, len(content)):
        whole.write_bytes(content[:length])
        assert list(read_bodies(whole, RING)) == [b"first"]


def test_zeros_after_the_last_record_are_a_record_cut_off(tmp_path: Path) -> None:
    whole = written(tmp_path, [b"first"])
    whole.write_bytes(whole.read_bytes() + bytes(4096))

    assert list(read_bodies(whole, RING)) == [b"first"]


def test_damage_anywhere_but_in_the_last_record_is_noticed(tmp_path: Path) -> None:
    whole = written(tmp_path, [b"first", b"second", b"third"])
    content = whole.read_bytes()
    last = len(content) - len(RING.seal(b"third", b"")) - 8

    for position in range(last):
        damaged = bytearray(content)
        damaged[position] ^= 0x40
        whole.write_bytes(damaged)
        with pytest.raises(JournalCorrupt):
            list(read_bodies(whole, RING))


def test_records_cannot_be_exchanged_or_left_out(tmp_path: Path) -> None:
    whole = written(tmp_path, [b"alike1", b"alike2", b"alike3"])
    content = whole.read_bytes()
    size = len(RING.seal(b"alike1", b"")) + 8
    head = content[: len(content) - 3 * size]
    one, two, three = (content[len(head) + number * size :][:size] for number in range(3))

    for order in (two + one + three, one + three + two + three, two + three):
        whole.write_bytes(head + order)
        with pytest.raises(JournalCorrupt):
            list(read_bodies(whole, RING))


def test_a_missing_key_is_named_as_such(tmp_path: Path) -> None:
    whole = written(tmp_path, [b"only"])

    with pytest.raises(JournalCorrupt, match="TOKEN_ENC_KEYS"):
        list(read_bodies(whole, KeyRing({"k2": bytes(range(1, 33))}, active="k2")))


async def test_no_token_stands_in_a_journal_in_the_clear(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        await one.keep(entry())

    assert b"secret" not in contents(tmp_path / "one.journal")


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    async with journal(directory):
        modes = {oct(path.stat().st_mode & 0o777) for path in (directory, *directory.iterdir())}

    assert modes == {"0o700", "0o600"}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond size bytes."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize(("mode", "may_refresh"), [(Mode.REQUIRED, False), (Mode.BEST_EFFORT, True)])
async def test_a_full_disk_keeps_nothing_and_spoils_nothing(tmp_path: Path, mode: Mode, *, may_refresh: bool) -> None:
    async with journal(tmp_path, mode=mode) as one:
        assert await one.keep(entry(1))
        with full_disk(len(contents(tmp_path / "one.journal")) + 10):
            assert not await one.keep(entry(2))
            assert await one.ready() is may_refresh

        assert await one.ready()
        assert await one.keep(entry(3))
        assert [known.connection_id.int for known in await one.entries()] == [1, 3]


async def test_a_disk_that_hangs_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "PATIENCE", 0.05)
    async with journal(tmp_path) as one:
        async with asyncio.timeout(10):
            with hanging_disk():
                assert not await one.keep(entry(1))
                assert not await one.ready()
                assert not await one.keep(entry(2))
            while not await one.ready():
                pass
        assert [known.connection_id.int for known in await one.entries()] == [1, 2]


@contextmanager
def hanging_disk() -> Iterator[None]:
    """Whatever is appended waits in the system, as on a network disk that is away."""
    answers, append = threading.Event(), JournalFile.append

    def wait(file: JournalFile, added: Sequence[Record]) -> None:
        answers.wait()
        append(file, added)

    with patch.object(JournalFile, "append", wait):
        try:
            yield
        finally:
            answers.set()


async def test_history_is_dropped_and_the_newest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.token.adapters.journal.journal.SLACK", 5)
    async with journal(tmp_path) as one:
        for generation in range(20):
            await one.keep(entry(1, generation))
        before = (tmp_path / "one.journal").stat().st_size
        await one.compact()
        await one.keep(entry(2))

        assert (tmp_path / "one.journal").stat().st_size < before / 4
        assert [(known.connection_id.int, known.version.generation) for known in await one.entries()] == [
            (1, 19),
            (2, 1),
        ]


async def test_entries_older_than_a_week_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.token.adapters.journal.journal.SLACK", -10)
    old = replace(entry(1), received_at=QuickClock().now() - KEPT - timedelta(hours=1))
    async with journal(tmp_path) as one:
        for known in (old, entry(2)):
            await one.keep(known)
        await one.compact()

        assert [known.connection_id.int for known in await one.entries()] == [2]


def flip(path: Path, position: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 0x40
    path.write_bytes(damaged)


async def test_every_record_of_a_journal_is_opened(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        for number in (1, 2, 2):
            await one.keep(entry(number))

        assert await one.verify() == VerifiedJournal(records=3)


async def test_a_record_that_does_not_open_is_named_by_its_connection(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        for number in (1, 2, 3):
            await one.keep(entry(number))
        second_ends = HEADER_BYTES + (one.size().bytes - HEADER_BYTES) * 2 // 3
        flip(tmp_path / "one.journal", second_ends - 1)
        verified = await one.verify()

    assert [(found.connection_id, found.number) for found in verified.unreadable] == [(UUID(int=2), 1)]


async def test_records_behind_a_damaged_frame_are_named_too(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        for number in (1, 2):
            await one.keep(entry(number))
        flip(tmp_path / "one.journal", HEADER_BYTES)
        verified = await one.verify()

    assert [found.connection_id for found in verified.unreadable] == [UUID(int=1), UUID(int=2)]
    assert "damaged" in verified.unreadable[0].why


async def test_a_journal_written_anew_still_knows_its_connections(tmp_path: Path) -> None:
    async with journal(tmp_path) as first:
        await first.keep(entry(5))
    async with journal(tmp_path, "two") as heir:
        async with heir.taking_over():
            pass
        flip(tmp_path / "two.journal", HEADER_BYTES)
        verified = await heir.verify()

    assert [found.connection_id for found in verified.unreadable] == [UUID(int=5)]


async def test_a_compaction_that_fails_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SLACK", 0)
    async with journal(tmp_path) as one:
        for generation in range(1, 5):
            await one.keep(entry(1, generation))
        with monkeypatch.context() as full:
            full.setattr(JournalFile, "append", raise_full)
            with pytest.raises(OSError, match="No space"):
                await one.compact()
        await one.keep(entry(2))

        assert [kept.connection_id.int for kept in await one.entries()] == [1, 2]
        assert names(tmp_path) == {"one.journal", TURN}


async def test_a_process_that_dies_in_a_compaction_leaves_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SLACK", 0)
    async with journal(tmp_path) as one:
        for generation in range(1, 5):
            await one.keep(entry(1, generation))
        whole = contents(tmp_path / "one.journal")
        seen: list[bytes] = []
        append = JournalFile.append

        def look(file: JournalFile, added: Sequence[Record]) -> None:
            seen.append(contents(tmp_path / "one.journal"))
            append(file, added)

        monkeypatch.setattr(JournalFile, "append", look)
        await one.compact()

    assert seen == [whole]


def raise_full(file: JournalFile, added: Sequence[Record]) -> None:
    del file, added
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
