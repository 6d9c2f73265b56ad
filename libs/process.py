"""Run a service until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


def run(main: Callable[[asyncio.Event], Awaitable[Result]]) -> Result:
    """Run main on a fast event loop and return what it returns; SIGTERM and SIGINT set the event that it waits for."""

    async def serve() -> Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await main(stop)

    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        return runner.run(serve())


def fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it exists (it is not built for Windows)."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - the module does not exist on Windows

    return uvloop.new_event_loop
