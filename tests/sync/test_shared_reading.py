import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from libs.errors import StorageUnavailable, UpstreamUnavailable
from services.sync.core.watch_run import Change, RunWatch
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.progress import Progress
from services.sync.domain.runs import EndedSubject, Run
from services.sync.domain.subjects import Subject
from services.sync.servicers.sync import WatchMessages
from tests.sync.sample_run import RUN


class Rows:
    """A run of which subject number n ended at change n."""

    def __init__(self) -> None:
        self.run = RUN
        self.failure: Exception | None = None

    def advance(self, sequence: int, state: RunState = RunState.RUNNING) -> None:
        self.run = replace(RUN, sequence=sequence, processed=sequence, state=state)

    async def get(self, run_id: str) -> Run | None:
        if self.failure:
            raise self.failure
        return self.run if run_id == "one" else None

    async def ended(self, run_id: str, *, after: int, upto: int, limit: int) -> tuple[EndedSubject, ...]:
        assert run_id == "one"
        return tuple(ended(number) for number in range(after + 1, upto + 1))[:limit]


class Hints:
    """Hints that the test gives."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    @contextmanager
    def of(self, run_id: str) -> Iterator[asyncio.Event]:
        assert run_id == "one"
        yield self.event


def ended(number: int) -> EndedSubject:
    return EndedSubject(
        subject=Subject.store(f"shop_{number}"),
        outcome=Outcome.SUCCESS,
        reason="",
        message="",
        sequence=number,
        records=1,
        duration=timedelta(0),
    )


class Scene:
    def __init__(self) -> None:
        self.rows, self.hints = Rows(), Hints()
        self.watch = RunWatch(rows=self.rows, hints=self.hints, clock=SystemClock())


def told(progress: Progress) -> list[int]:
    return [subject.sequence for subject in progress.ended]


async def test_a_watcher_who_joined_later_is_told_only_what_is_new() -> None:
    scene = Scene()
    early = scene.watch.watch("one", 0)
    assert told(await anext(early)) == []
    scene.rows.advance(2)
    late = scene.watch.watch("one", 0)
    assert told(await anext(late)) == [1, 2]
    scene.rows.advance(4)
    waiting = asyncio.gather(anext(early), anext(late))
    scene.hints.event.set()
    of_early, of_late = await asyncio.wait_for(waiting, 5)
    assert told(of_early) == [1, 2, 3, 4]
    assert told(of_late) == [3, 4]
    await early.aclose()
    await late.aclose()


async def test_watchers_in_step_are_told_one_and_the_same() -> None:
    scene, messages = Scene(), WatchMessages()
    watches = [scene.watch.watch("one", 0) for _ in range(3)]
    for watch in watches:
        await anext(watch)
    scene.rows.advance(2)
    scene.hints.event.set()
    told_to_all = await asyncio.wait_for(asyncio.gather(*map(anext, watches)), 5)
    assert len({id(messages.of(progress)) for progress in told_to_all}) == 1
    assert messages.of(replace(told_to_all[0], sequence=3)).progress.sequence == 3
    for watch in watches:
        await watch.aclose()


async def test_a_slow_watcher_reads_for_itself_and_misses_nothing() -> None:
    scene = Scene()
    slow = scene.watch.watch("one", 0)
    await anext(slow)
    quick = scene.watch.watch("one", 0)
    await anext(quick)
    for sequence in (1, 2, 3):
        scene.rows.advance(sequence)
        scene.hints.event.set()
        assert told(await asyncio.wait_for(anext(quick), 5)) == [sequence]
    assert told(await anext(slow)) == [1, 2, 3]
    await slow.aclose()
    await quick.aclose()


async def test_a_watcher_who_stops_reading_costs_no_memory() -> None:
    scene = Scene()
    asleep, quick = scene.watch.watch("one", 0), scene.watch.watch("one", 0)
    await asyncio.gather(anext(asleep), anext(quick))
    for sequence in range(1, 31):
        scene.rows.advance(sequence)
        scene.hints.event.set()
        assert told(await asyncio.wait_for(anext(quick), 5)) == [sequence]
    gc.collect()
    kept = [thing for thing in gc.get_objects() if isinstance(thing, Change)]
    assert sorted(change.run.sequence for change in kept) in ([0, 30], [0, 30, 30])
    assert told(await anext(asleep)) == list(range(1, 31))
    await asleep.aclose()
    await quick.aclose()


async def test_a_change_without_a_hint_is_found_all_the_same() -> None:
    scene = Scene()
    watch = scene.watch.watch("one", 0)
    await anext(watch)
    scene.rows.advance(1, RunState.SUCCEEDED)
    assert (await asyncio.wait_for(anext(watch), 5)).run.state is RunState.SUCCEEDED
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_failed_reading_reaches_every_watcher() -> None:
    scene = Scene()
    watches = [scene.watch.watch("one", 0) for _ in range(3)]
    for watch in watches:
        await anext(watch)
    scene.rows.failure = StorageUnavailable()
    scene.hints.event.set()
    for watch in watches:
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(anext(watch), 5)


async def test_a_stopping_process_ends_its_watches() -> None:
    scene = Scene()
    watch = scene.watch.watch("one", 0)
    await anext(watch)
    scene.watch.close()
    with pytest.raises(UpstreamUnavailable, match="watch the run again"):
        await asyncio.wait_for(anext(watch), 5)
