from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from libs.clock import SystemClock
from services.sync.adapters.postgres.database import Database
from services.sync.core.progress_log import ProgressLog
from services.sync.core.watch_run import Pace
from services.sync.domain.outcomes import RunState
from services.sync.domain.progress import Tally
from services.sync.domain.runs import Run
from tests.sync.living_suite import LivingSuite
from tests.sync.sample_run import RUN


class SteppedClock(SystemClock):
    """Moves only when the test says so."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def tally(processed: int, *, is_final: bool = False, run_id: str = "one") -> Tally:
    return Tally(run_id=run_id, processed=processed, total=300, is_final=is_final)


def run(processed: int, state: RunState = RunState.RUNNING) -> Run:
    return replace(RUN, processed=processed, state=state)


def test_progress_is_told_once_a_second_and_at_the_end() -> None:
    clock = SteppedClock()
    progress = ProgressLog(clock=clock)
    with capture_logs() as lines:
        for processed in (1, 2, 3):
            progress.note(tally(processed))
        clock.at += 1
        progress.note(tally(30))
        progress.note(tally(5, run_id="other"))
        progress.note(tally(300, is_final=True))
    told = [(line["run_id"], line["processed"], line["total"], line["percent"]) for line in lines]
    assert told == [("one", 1, 300, 0), ("one", 30, 300, 10), ("other", 5, 300, 2), ("one", 300, 300, 100)]
    assert {line["event"] for line in lines} == {"Sync progress"}


def test_the_time_left_follows_the_recent_pace() -> None:
    clock = SteppedClock()
    pace = Pace(clock)
    assert pace.estimate(run(0)) is None
    clock.at += 10
    assert pace.estimate(run(100)) == timedelta(seconds=20)
    clock.at += 10
    assert pace.estimate(run(100)) == timedelta(seconds=40)
    assert pace.estimate(run(300, RunState.SUCCEEDED)) is None


@pytest.mark.parametrize(("processed", "percent"), [(0, 0.0), (30, 10.0), (299, 99.67)])
def test_percent_is_the_share_of_stores(processed: int, percent: float) -> None:
    assert run(processed).percent == percent


def test_a_cancelled_run_stands_where_it_was_left() -> None:
    assert run(30, RunState.CANCELLED).percent == 10.0


def test_a_run_with_nothing_in_it_is_done_once_it_has_ended() -> None:
    empty = [replace(RUN, total=0, processed=0, state=state) for state in (RunState.RUNNING, RunState.SUCCEEDED)]
    assert [run.percent for run in empty] == [0.0, 100.0]


async def test_the_pool_is_reported_in_known_words(suite: LivingSuite) -> None:
    with capture_logs() as lines:
        await Database(suite.reporting).report()
    assert lines[0]["event"] == "Database pool statistics"
    assert set(lines[0]) >= {"totalCount", "idleCount", "waitingCount"}
