"""One item is worked on: claimed, carried out, and ended, put off or given back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from libs.errors import ConnectionNotFound, Internal, ReauthRequired, TokhubError
from services.sync.domain.items import Claim, Ending, GaveBack, ItemKey, LostItem, NotNow
from services.sync.domain.jobs import Job
from services.sync.domain.links import ConnectLinks
from services.sync.domain.outcomes import Outcome
from services.sync.domain.progress import Tally
from services.sync.domain.retry import RetryRule

log = structlog.get_logger()


class Performer(Protocol):
    """Carries one job out."""

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended, or raise why it did not."""
        ...


class ItemRows(Protocol):
    """Where items are kept; all but claim raise LostItem when another worker has claimed the item since."""

    async def claim(self, key: ItemKey) -> Claim | NotNow | None:
        """Take the item; None when it has ended."""
        ...

    async def end(self, claim: Claim, ending: Ending) -> Tally:
        """End the item, and with the last one its store and its run."""
        ...

    async def put_off(self, claim: Claim, *, seconds: float, error: TokhubError) -> None:
        """Let the item wait for another attempt."""
        ...

    async def give_back(self, claim: Claim) -> None:
        """Let the item go, as if this attempt had not been."""
        ...


class ProgressLog(Protocol):
    """Tells people how far runs are."""

    def note(self, tally: Tally) -> None:
        """Take note of an item's end."""
        ...


@dataclass(frozen=True, kw_only=True)
class FailureRule:
    """What becomes of an attempt that failed."""

    retry: RetryRule
    links: ConnectLinks
    draw: Callable[[], float]

    def wait_after(self, claim: Claim, error: TokhubError) -> float | None:
        """Return the seconds to wait for the next attempt, None to give up."""
        return self.retry.wait_after(error, attempt=claim.attempt, draw=self.draw())

    def ending_of(self, claim: Claim, error: TokhubError) -> Ending:
        """Return how an item ends that is given up; a subject without a usable connection is skipped."""
        outcome, message = Outcome.FAILED, error.message
        if isinstance(error, ReauthRequired):
            outcome, message = Outcome.SKIPPED, self.links.needs_reconnect(claim.key.subject)
        elif isinstance(error, ConnectionNotFound):
            outcome, message = Outcome.SKIPPED, self.links.not_connected(claim.key.subject)
        return Ending(
            outcome=outcome,
            message=message,
            reason=error.reason.value,
            raw_error=f"{type(error).__name__}: {error.message}",
            records=claim.records,
        )


class ItemWorker:
    """Works on items; whatever happens, an item's row says so or another worker will."""

    def __init__(
        self,
        *,
        items: ItemRows,
        jobs: Mapping[Job, Performer],
        failures: FailureRule,
        progress: ProgressLog,
    ) -> None:
        self._items = items
        self._jobs = jobs
        self._failures = failures
        self._progress = progress

    async def work(self, key: ItemKey) -> float | None:
        """Work on an item; return the seconds after which it wants to be worked on again, None when it is done.

        StorageUnavailable when nothing can be noted: the item stays claimed and the next delivery goes on from there.
        """
        claim = await self._items.claim(key)
        if claim is None:
            return None
        if isinstance(claim, NotNow):
            return claim.seconds
        try:
            return await self._carry_out(claim)
        except LostItem:
            log.info("item was taken over", run_id=key.run_id, job=key.job, subject=key.subject.id)
            return None

    async def _carry_out(self, claim: Claim) -> float | None:
        try:
            ending = await self._perform(claim)
        except GaveBack:
            await self._items.give_back(claim)
            return 0.0
        except TokhubError as error:
            return await self._after_failure(claim, error)
        self._progress.note(await self._items.end(claim, ending))
        return None

    async def _perform(self, claim: Claim) -> Ending:
        if claim.attempt > self._failures.retry.attempts:
            raise Internal(f"Stopped {claim.attempt - 1} times without an end: see the log.")
        try:
            return await self._jobs[claim.key.job].perform(claim)
        except (TokhubError, LostItem, GaveBack):
            raise
        except Exception as error:
            log.exception("item failed unexpectedly", run_id=claim.key.run_id, subject=claim.key.subject.id)
            raise Internal from error

    async def _after_failure(self, claim: Claim, error: TokhubError) -> float | None:
        wait = self._failures.wait_after(claim, error)
        if wait is not None:
            await self._items.put_off(claim, seconds=wait, error=error)
            return wait
        self._progress.note(await self._items.end(claim, self._failures.ending_of(claim, error)))
        return None
