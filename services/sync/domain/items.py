"""Items: one job for one subject within a run, the unit that is claimed, fenced and ended."""

from dataclasses import dataclass
from datetime import date

from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import Outcome
from services.sync.domain.rate_limit import Lane
from services.sync.domain.subjects import Subject


@dataclass(frozen=True)
class ItemKey:
    """Names an item."""

    run_id: str
    job: Job
    subject: Subject


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An item that this worker has, until another worker claims it and raises the fence."""

    key: ItemKey
    fence: int
    attempt: int
    cursor: int | None
    pages: int
    records: int
    snapshot_date: date
    lane: Lane = Lane.BULK


@dataclass(frozen=True, kw_only=True)
class NotNow:
    """An item that may be claimed in so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an item ended; reason is empty on success, raw_error is for the log alone."""

    outcome: Outcome
    message: str
    reason: str = ""
    raw_error: str | None = None
    records: int = 0
    refreshed: bool = False


class LostItem(Exception):
    """Another worker has claimed the item: what this one did last was not saved."""


class GaveBack(Exception):
    """The worker stops and has given the item back, its cursor kept."""
