"""Writes statements and how long they took into the log, never what they were given."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import structlog

LONGEST = 500  # characters

log = structlog.get_logger()


class Statement(Protocol):
    """A statement that has ended, as the driver tells it; it has the values too."""

    query: str
    elapsed: float
    exception: BaseException | None


Teller: TypeAlias = Callable[[Statement], None]


def tell_statement(done: Statement) -> None:
    """Write one line."""
    error = type(done.exception).__name__ if done.exception else ""
    log.info("statement", sql=" ".join(done.query.split())[:LONGEST], ms=round(done.elapsed * 1000, 2), error=error)
