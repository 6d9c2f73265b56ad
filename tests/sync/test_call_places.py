"""Places bound the calls under way, however many stores are at hand."""

import asyncio

from services.sync.core.places import Turns
from tests.sync.living_suite import JOB_USER, LivingSuite
from tests.sync.scripted_tiktok import scripted_tiktok


async def test_no_more_calls_are_under_way_than_there_are_places(suite: LivingSuite) -> None:
    await suite.connect_many(7)
    async with scripted_tiktok() as tiktok:
        tiktok.user_seconds = 0.2
        async with suite.replica(TIKTOK_API_BASE_URL=tiktok.url, SYNC_CONCURRENCY="2") as replica:
            end = await replica.run(JOB_USER)
    assert end.succeeded == 7
    assert tiktok.users_at_once == 2


class Queue:
    """One turn that is taken; who comes after it is noted in the order of their turns."""

    def __init__(self) -> None:
        self.turns = Turns(1)
        self.served: list[str] = []

    def comes(self, name: str, progress: int) -> "asyncio.Task[None]":
        return asyncio.create_task(self._visit(name, progress))

    async def _visit(self, name: str, progress: int) -> None:
        async with self.turns.take(progress):
            self.served.append(name)


async def test_a_store_that_is_begun_goes_on_before_another_begins() -> None:
    queue = Queue()
    async with queue.turns.take(0):
        visits = [queue.comes(name, progress) for name, progress in (("new", 0), ("begun", 1), ("newer", 0))]
        await asyncio.sleep(0)
    await asyncio.gather(*visits)
    assert queue.served == ["begun", "new", "newer"]


async def test_who_leaves_the_queue_takes_no_turn_along() -> None:
    queue = Queue()
    async with queue.turns.take(0):
        waits, given = queue.comes("waits", 1), queue.comes("given", 2)
        await asyncio.sleep(0)
        waits.cancel()
    # The turn has been given to it, and it has not begun.
    given.cancel()
    await asyncio.wait({waits, given})
    await asyncio.wait_for(queue.comes("last", 0), 5)
    assert queue.served == ["last"]
