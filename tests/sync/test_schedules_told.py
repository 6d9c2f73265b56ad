import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tokhub.sync.v1 import sync_pb2

from libs.errors import InvalidField, RunAlreadyActive
from libs.settings import WrongSetting, parse
from services.sync.settings import SyncSettings
from tests.sync.living_suite import JOB_USER, LivingSuite, Replica
from tests.sync.sync_process import ROOT, sync_process

PROGRAM = ("tests/sync/set_clock_service.py",)
NIGHT, TICK, NEXT_TICK = "2026-11-21T01:30:00+00:00", "2026-11-21T02:00:01+00:00", "2026-11-22T02:00:01+00:00"
FIRED = "SELECT count(*) = {} FROM reporting.schedule_fires WHERE schedule = 'sync_user_daily'"


async def schedule(replica: Replica) -> sync_pb2.GetScheduleResponse:
    return await replica.runs.GetSchedule(sync_pb2.GetScheduleRequest())


async def run_scheduled(replica: Replica, name: str, *, dry_run: bool = False) -> sync_pb2.RunScheduledJobResponse:
    return await replica.runs.RunScheduledJob(sync_pb2.RunScheduledJobRequest(name=name, dry_run=dry_run))


def set_time(file: Path, time: str) -> None:
    """Replace the file at once: a reader between emptying and writing would find no time."""
    draft = file.with_suffix(".draft")
    draft.write_text(time)
    draft.replace(file)


async def test_a_tick_that_one_of_two_services_sleeps_over_is_one_run(suite: LivingSuite, tmp_path: Path) -> None:
    time = tmp_path / "time"
    set_time(time, NIGHT)
    environment = suite.environment(CRON_ENABLED="1", TEST_TIME_FILE=str(time))
    with sync_process(environment, PROGRAM) as sleeper, sync_process(environment, PROGRAM) as awake:
        await suite.until("SELECT count(*) = 3 FROM reporting.schedules")
        sleeper.signal(signal.SIGSTOP)
        set_time(time, TICK)
        await suite.until(FIRED.format(1))
        sleeper.signal(signal.SIGCONT)
        await asyncio.sleep(1)
        awake.kill()
        set_time(time, NEXT_TICK)
        await suite.until("SELECT count(*) >= 3 FROM reporting.sync_runs")
        sleeper.terminate()
    rows = await suite.pool.fetch("SELECT job, count(*) AS runs FROM reporting.sync_runs GROUP BY job ORDER BY job")
    assert [tuple(row) for row in rows] == [("refresh_tokens", 1), ("user", 2)]


async def test_the_schedule_tells_what_comes_next(suite: LivingSuite) -> None:
    async with suite.replica(TZ="Asia/Jakarta", CRON_ENABLED="true", CRON_TOKEN_REFRESH="30 4 * * *") as replica:
        told = await schedule(replica)
    assert (told.enabled, told.timezone) == (True, "Asia/Jakarta")
    assert [(job.name, job.schedule, job.running) for job in told.jobs] == [
        ("refresh_tokens", "30 4 * * *", False),
        ("sync_user_daily", "0 2 * * *", False),
        ("sync_video_daily", "0 3 * * *", False),
    ]
    following = told.jobs[1].next_run_time.ToDatetime(tzinfo=UTC)
    assert (following.hour, following.minute) == (19, 0)
    assert 0 < (following - datetime.now(UTC)).total_seconds() <= 86_400


async def test_a_schedule_that_is_off_has_no_next_time(replica: Replica) -> None:
    told = await schedule(replica)
    assert not told.enabled
    assert not any(job.HasField("next_run_time") for job in told.jobs)


async def test_a_run_at_work_shows_in_its_schedule(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    replica.stop.set()
    run = await replica.start(JOB_USER)
    assert [(job.running, job.run_id) for job in (await schedule(replica)).jobs] == [
        (False, ""),
        (True, run.id),
        (False, ""),
    ]


async def test_a_scheduled_job_starts_when_it_is_asked_for(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    started = await run_scheduled(replica, "sync_user_daily")
    assert started.total == 2
    assert (await replica.end_of(started.run.id)).succeeded == 2
    with pytest.raises(InvalidField):
        await run_scheduled(replica, "weekly")


async def test_a_scheduled_job_at_work_is_not_started_again(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    replica.stop.set()
    await run_scheduled(replica, "sync_user_daily")
    with pytest.raises(RunAlreadyActive):
        await run_scheduled(replica, "sync_user_daily")


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    await suite.pool.execute("UPDATE credentials.connections SET status = 'REAUTH_REQUIRED' WHERE number = 1")
    told = await run_scheduled(replica, "sync_video_daily", dry_run=True)
    assert (told.total, told.skipped, told.HasField("run")) == (2, 1, False)
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs") == 0


@pytest.mark.parametrize("name", ["CRON_TOKEN_REFRESH", "CRON_SYNC_USER_DAILY", "CRON_SYNC_VIDEO_DAILY"])
def test_a_wrong_expression_is_named_with_its_variable_and_place(name: str) -> None:
    with pytest.raises(WrongSetting, match=rf"{name}: .*field 1 \(minute\): 61 is not within 0-59"):
        parse(SyncSettings, {"DATABASE_URL": "postgresql://x", name: "61 * * * *"})


def test_a_wrong_expression_stops_the_start_with_status_78() -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://x", "CRON_TOKEN_REFRESH": "0 0 31 2 *"}
    command = (sys.executable, "-m", "services.sync")
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert ended.stderr.count("\n") == 1
    assert "CRON_TOKEN_REFRESH" in ended.stderr
