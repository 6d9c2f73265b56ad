import asyncio
import gc
import weakref

import pytest

from libs.detached import DetachedTasks


class Work:
    """Work that waits for something that nobody but itself holds."""

    def __init__(self) -> None:
        self.ended = False
        self.waits_for: weakref.ref[asyncio.Future[None]] | None = None

    async def go(self) -> None:
        wanted = asyncio.get_running_loop().create_future()
        self.waits_for = weakref.ref(wanted)
        await wanted
        self.ended = True

    def let_end(self) -> None:
        assert self.waits_for
        wanted = self.waits_for()
        assert wanted, "collected half-way"
        wanted.set_result(None)


async def left_by_its_caller(tasks: DetachedTasks, work: Work) -> None:
    caller = asyncio.create_task(tasks.outcome(work.go(), "work"))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_work_that_its_caller_left_is_not_collected() -> None:
    tasks, work = DetachedTasks(), Work()
    await left_by_its_caller(tasks, work)
    gc.collect()
    work.let_end()
    await tasks.drain()
    assert work.ended


async def test_a_drain_waits_for_what_begins_meanwhile() -> None:
    tasks, ended = DetachedTasks(), []

    async def chain(left: int) -> None:
        await asyncio.sleep(0)
        ended.append(left)
        if left:
            tasks.begin(chain(left - 1), "work")

    tasks.begin(chain(3), "work")
    await tasks.drain()
    assert ended == [3, 2, 1, 0]


async def test_who_gives_up_draining_ends_what_is_left() -> None:
    tasks, work = DetachedTasks(), Work()
    await left_by_its_caller(tasks, work)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tasks.drain(), 0.01)
    gc.collect()
    assert (work.ended, work.waits_for and work.waits_for()) == (False, None)
