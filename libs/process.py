"""Run a service until it is told to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

if sys.platform != "win32":
    import resource

    import uvloop

OBJECTS_AT_ONCE = 50_000  # some ten megabytes

Result = TypeVar("Result")


def run(main: Callable[[asyncio.Event], Awaitable[Result]]) -> Result:
    """Run main on a fast event loop and return what it returns; SIGTERM and SIGINT set the event that it waits for."""

    async def serve() -> Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await main(stop)

    spare_the_collector()
    allow_many_descriptors()
    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        return runner.run(serve())


def spare_the_collector() -> None:
    """Keep Python's collector of cycles from what a process keeps for ever, and call it for many objects at a time.

    All modules are there by now. Going through them again and again was a fifth of what a busy service cost.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_AT_ONCE, 20, 20)


def allow_many_descriptors() -> None:
    """Take as many descriptors as the process may have: each connection is one, and 1,024 are often the default."""
    if sys.platform == "win32":
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it exists (it is not built for Windows)."""
    if sys.platform == "win32":
        return None
    return uvloop.new_event_loop
