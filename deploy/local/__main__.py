"""`python -m deploy.local`: start the suite on this machine; an interruption at any moment is one line of text."""

import importlib
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # as shells report a Ctrl-C


def leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing has been started, and an exception could be swallowed by whatever is being imported."""
    sys.stdout.write("Stopped before anything was started.\n")
    sys.stdout.flush()
    os._exit(INTERRUPTED)


def main() -> int:
    """Return the exit status of the suite, whose imports take a while."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    return int(importlib.import_module("deploy.local.start").main())


if __name__ == "__main__":
    sys.exit(main())
