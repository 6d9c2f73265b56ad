"""The invariants of runs and snapshots see what they are for: each is shown a world in which it does not hold."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tokhub.sync.v1 import sync_pb2

from tests.faults.canaries import leaks
from tests.faults.lab import Lab, laboratory
from tests.faults.runs import connect_stores, end_of
from tests.faults.sync_invariants import every_run_ends, snapshots_are_what_tiktok_shows

ITEM = "UPDATE reporting.sync_items SET {} WHERE subject_id = '{}' AND job = 'video'"
VIDEO = "(SELECT max(video_id) FROM reporting.tiktok_video_daily WHERE subject_id = '{}')"
# What is done to the rows, one after the other, and what is said about it.
WRONG_RUNS = {
    "UPDATE reporting.sync_items SET ended_sequence = 2": "run {} has 2 ends under 1 numbers",
    ITEM.format("outcome = 'FAILED'", "shop-1"): "video of shop-1 is FAILED for reason ''",
    ITEM.format("outcome = 'FAILED', reason = 'INTERNAL'", "shop-2"): "video of shop-2 is FAILED for reason 'INTERNAL'",
    "DELETE FROM reporting.sync_logs WHERE subject_id = 'shop-1'": "video of shop-1 has 0 lines in the log",
    ITEM.format("state = 'running', outcome = NULL, ended_at = NULL", "shop-1"): (
        "run {} is succeeded with 1 open items"
    ),
    "UPDATE reporting.sync_runs SET total = 3": (
        "run {} has counted its stores wrong: {{'total': 3, 'processed': 2, 'stores': 2, 'closed': 2}}"
    ),
    "UPDATE reporting.sync_runs SET state = 'running'": "run {} is running",
    "DELETE FROM reporting.sync_runs": "run {} was accepted and is gone",
}
WRONG_ROWS = {
    f"UPDATE reporting.tiktok_video_daily SET view_count = -1 WHERE video_id = {VIDEO.format('shop-1')}": (
        "shop-1, all pages read, 25 videos stored: 1 other figures"
    ),
    f"UPDATE reporting.tiktok_video_daily SET video_id = 'x' WHERE video_id = {VIDEO.format('shop-2')}": (
        "shop-2, all pages read, 25 videos stored: 1 missing, 1 not of these"
    ),
    ITEM.format("outcome = 'FAILED', pages = 1", "shop-1"): (
        "shop-1, 1 pages read, 25 videos stored: 5 not of these, 1 other figures"
    ),
    "DELETE FROM reporting.tiktok_user_daily WHERE subject_id = 'shop-1'": "shop-1 has no row of its account",
    "UPDATE reporting.tiktok_user_daily SET subject_id = 'shop-9'": "shop-9 has rows and no account",
}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A world in which two stores were synced."""
    async with laboratory(tmp_path / "case", SANDBOX_VIDEOS="25") as one:
        await one.replica()
        sync = await one.sync()
        await connect_stores(one, sync, "shop-1", "shop-2")
        await end_of(one, await sync.begin(sync_pb2.JOB_ALL))
        yield one


async def test_a_synced_world_without_faults_has_no_violations(lab: Lab) -> None:
    assert [*await every_run_ends(lab), *await snapshots_are_what_tiktok_shows(lab), *await leaks(lab)] == []


async def test_wrong_runs_are_seen(lab: Lab) -> None:
    run_id = lab.syncs[0].accepted[0]
    for statement, expected in WRONG_RUNS.items():
        await lab.script(statement)
        assert expected.format(run_id) in await every_run_ends(lab)


async def test_wrong_rows_are_seen(lab: Lab) -> None:
    for statement, expected in WRONG_ROWS.items():
        await lab.script(statement)
        assert expected in await snapshots_are_what_tiktok_shows(lab)


async def test_a_token_in_the_log_of_a_sync_service_is_found(lab: Lab) -> None:
    token = (await lab.ledger("shop-1"))["grants"][0]["live_refresh_token"]
    lab.syncs[0].log.write_text(token)
    assert await leaks(lab) == ["sync.log"]
