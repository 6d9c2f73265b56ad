"""One process at a time has a directory, and a file in it names that process."""

import fcntl
import os
from collections.abc import Callable
from typing import TextIO

from libs.errors import ServerMisconfig


def hold(lock: TextIO, refusal: Callable[[str], str]) -> None:
    """Have an open file for this process alone until it is closed; ServerMisconfig with what is to be said of another.

    refusal is given the number of the process that has it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise ServerMisconfig(refusal(lock.read().strip() or "unknown")) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
