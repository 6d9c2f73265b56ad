"""Work that is given up when something else happens first."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

CLIENT_LEFT = 499  # in logs and metrics only, nobody is there to read it; nginx's number for it


class Interrupted(Exception):
    """Something else happened before the work was done."""


async def unless(work: Coroutine[Any, Any, None], *interruptions: Coroutine[Any, Any, Any]) -> None:
    """Do the work; when an interruption ends first, cancel the work and raise its error, or Interrupted.

    Leaves no task behind.
    """
    tasks = [asyncio.create_task(one) for one in (work, *interruptions)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        if not tasks[0].done():
            raise Interrupted
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def client_left(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
