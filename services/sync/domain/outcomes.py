"""How items, stores and runs end."""

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """How one item, or a store as a whole, came out, as the sync log spells it."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class RunState(StrEnum):
    """How a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True once nothing more will change."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return how a store came out: one failure fails it, one skipped job skips it."""
    found = set(outcomes)
    if Outcome.FAILED in found:
        return Outcome.FAILED
    return Outcome.SKIPPED if Outcome.SKIPPED in found else Outcome.SUCCESS


def final_state(*, succeeded: int, failed: int) -> RunState:
    """Return how a run ended, by its stores."""
    if not failed:
        return RunState.SUCCEEDED
    return RunState.PARTIAL if succeeded else RunState.FAILED
