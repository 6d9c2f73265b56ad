"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, how it is, and what to do about it; todo is empty when that is nothing."""

    level: Level
    what: str
    says: str
    todo: str = ""


def good(what: str, says: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(level=Level.GOOD, what=what, says=says)


def warning(what: str, says: str, todo: str) -> Finding:
    """Return a finding to look into before it is one to mend."""
    return Finding(level=Level.WARNING, what=what, says=says, todo=todo)


def bad(what: str, says: str, todo: str) -> Finding:
    """Return a finding to mend."""
    return Finding(level=Level.BAD, what=what, says=says, todo=todo)
