"""Repeats work that PostgreSQL has undone because it conflicted with other work, as it asks its callers to."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

from libs.database.errors import sqlstate_of
from libs.errors import StorageUnavailable
from libs.jitter import uniform

# A serialization failure and a deadlock: nothing of the transaction has happened.
CONFLICTS = ("40001", "40P01")
REPEATS = 3
PAUSE = (0.005, 0.05)  # seconds, growing with each repeat; jitter keeps two victims from meeting again

Params = ParamSpec("Params")
Result = TypeVar("Result")


def repeated(
    work: Callable[Params, Awaitable[Result]],
) -> Callable[Params, Coroutine[None, None, Result]]:
    """Return work that is done again, three times at most, after a conflict; work is one transaction."""

    @wraps(work)
    async def until_done(*args: Params.args, **named: Params.kwargs) -> Result:
        for repeat in range(REPEATS):
            try:
                return await work(*args, **named)
            except StorageUnavailable as error:
                if sqlstate_of(error) not in CONFLICTS:
                    raise
            await asyncio.sleep(uniform(*PAUSE) * (repeat + 1))
        return await work(*args, **named)

    return until_done
