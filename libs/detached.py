"""Work that goes on when its caller leaves: held until it is done, and waited for at the end of a process."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DetachedTasks:
    """Tasks that belong to none of their callers. An event loop alone holds no task: it may be collected half-way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Return the task that does the work."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def outcome(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Return what the work returns; a caller who is cancelled does not stop it."""
        return await asyncio.shield(self.begin(work, name))

    async def drain(self) -> None:
        """Wait until nothing is under way; who gives up waiting, by being cancelled, ends what is."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
