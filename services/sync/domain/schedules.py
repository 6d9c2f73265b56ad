"""Schedules: which job begins by itself, and when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from libs.errors import InvalidField
from services.sync.domain.cron import Cron
from services.sync.domain.jobs import LOG_NAMES, Job

# A tick that nobody could act on is made up for within this time: a day's snapshot cannot be taken on another day, and
# a machine that was off for the night need not begin with the night's work.
CATCH_UP = timedelta(hours=4)


@dataclass(frozen=True)
class Schedule:
    """A job over all stores, and its times."""

    job: Job
    cron: Cron

    @property
    def name(self) -> str:
        """The word it goes by, the same as in the sync log."""
        return LOG_NAMES[self.job]


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """What the settings say: whether runs begin by themselves, in which zone, and when."""

    enabled: bool
    zone: str
    schedules: tuple[Schedule, ...]

    def named(self, name: str) -> Schedule:
        """Return the schedule; InvalidField when there is none of this name."""
        for schedule in self.schedules:
            if schedule.name == name:
                return schedule
        names = ", ".join(schedule.name for schedule in self.schedules)
        raise InvalidField("name", f"must be one of {names}")


@dataclass(frozen=True)
class Tick:
    """One time of one schedule; at most one run begins at it, whatever the number of replicas."""

    schedule: str
    fire_at: datetime


class TickOutcome(StrEnum):
    """What came of a tick."""

    STARTED = "STARTED"
    OVERLAPPED = "OVERLAPPED"  # a run of the same scope was still at work
    MISSED = "MISSED"  # noticed too late


class TickTaken(Exception):
    """Another replica has acted on the tick."""
