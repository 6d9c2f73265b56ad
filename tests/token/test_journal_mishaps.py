"""A disk that takes nothing back and a clock that runs ahead cost the journal nothing."""

import asyncio
import errno
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from services.token.adapters.journal.journal import Mode
from services.token.adapters.journal.records import read_bodies
from tests.token.counting_provider import QuickClock
from tests.token.test_journal_files import RING, contents, entry, full_disk, hanging_disk, journal


async def test_a_record_cut_off_that_could_not_be_taken_back_spoils_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "one.journal"
    async with journal(tmp_path) as one:
        assert await one.keep(entry(1))
        refused = OSError(errno.ENOSPC, "No space left on device")
        with full_disk(len(contents(path)) + 10), patch("os.ftruncate", side_effect=refused):
            assert not await one.keep(entry(2))

        assert await one.keep(entry(3))
        assert [known.connection_id.int for known in await one.entries()] == [1, 3]
        assert len(list(read_bodies(path, RING))) == 2


async def test_a_clock_that_runs_ahead_drops_nothing_of_the_last_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.token.adapters.journal.journal.SLACK", -10)
    async with journal(tmp_path) as one:
        for known in (entry(1), replace(entry(2), received_at=QuickClock().now() - timedelta(days=6))):
            await one.keep(known)
        ahead = QuickClock().now() + timedelta(days=400)
        with patch.object(QuickClock, "now", return_value=ahead):
            await one.compact()

        assert [known.connection_id.int for known in await one.entries()] == [1, 2]


async def test_an_entry_that_is_tried_again_while_the_disk_hangs_waits_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = entry(1)
    async with journal(tmp_path) as one:
        with hanging_disk(), monkeypatch.context() as hurry:
            hurry.setattr("services.token.adapters.journal.journal.PATIENCE", 0.01)
            assert [await one.keep(tried) for _ in range(5)] == [False] * 5
            assert one.size().pending == 1

        assert await one.keep(entry(2))
        assert [known.connection_id.int for known in await one.entries()] == [1, 2]


async def test_a_disk_that_hangs_costs_the_oldest_that_wait_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.token.adapters.journal.waiting.MOST", 3)
    entries = [entry(number) for number in range(1, 8)]
    async with journal(tmp_path, mode=Mode.BEST_EFFORT) as one:
        with hanging_disk(), monkeypatch.context() as hurry, capture_logs() as lines:
            hurry.setattr("services.token.adapters.journal.journal.PATIENCE", 0.01)
            assert [await one.keep(known) for known in entries] == [False] * 7
            assert (one.size().pending, one.size().dropped) == (3, 3)

        with capture_logs() as after:
            assert await one.keep(entries[-1])
        assert [known.connection_id.int for known in await one.entries()] == [1, 5, 6, 7]
    assert [line["event"] for line in lines if "dropped" in line["event"]] == [
        "journal disk hangs: from here on the oldest records that wait for it are dropped"
    ]
    assert [line["count"] for line in after if "dropped" in line["event"]] == [3]


async def test_who_waits_for_a_record_that_is_dropped_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.token.adapters.journal.waiting.MOST", 1)
    monkeypatch.setattr("services.token.adapters.journal.journal.PATIENCE", 30)
    async with journal(tmp_path, mode=Mode.BEST_EFFORT) as one, asyncio.TaskGroup() as asking:
        with hanging_disk():
            under_way = asking.create_task(one.keep(entry(1)))
            await asyncio.sleep(0.01)
            dropped, waiting = [asking.create_task(one.keep(entry(number))) for number in (2, 3)]
            assert not await asyncio.wait_for(dropped, 10)
        assert await under_way
        assert await waiting
