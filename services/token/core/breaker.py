"""Leaves a provider alone while it does not answer, so that an outage is one event and not thousands."""

from dataclasses import dataclass

import structlog

from libs.clock import Clock
from libs.errors import UpstreamUnavailable
from services.token.domain.connection import Provider

FAILURES = 5  # in a row, of whatever connections
FIRST_REST = 10.0  # seconds, doubled each time the trial after it fails
LONGEST_REST = 300.0
TRIAL = 40.0  # seconds after which a trial that has not ended counts for nothing: two bounded calls and their pause

log = structlog.get_logger()


@dataclass
class Record:
    """How a provider has been answering."""

    failures: int = 0
    rest: float = 0.0
    closed_until: float = 0.0
    on_trial: bool = False

    @property
    def resting(self) -> bool:
        """True from the failure that was one too many to the next answer."""
        return self.rest > 0


class Breaker:
    """One record per provider: an app has one host for its tokens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[Provider, Record] = {}

    def check(self, provider: Provider) -> None:
        """Raise UpstreamUnavailable while the provider rests; after that let one call through as a trial."""
        record = self._records.get(provider)
        if record is None or not record.resting:
            return
        left = record.closed_until - self._clock.monotonic()
        if left > 0:
            raise UpstreamUnavailable(
                "TikTok is not answering: it is left alone for a moment, then tried again.", retry_after=left
            )
        record.on_trial = True
        record.closed_until = self._clock.monotonic() + TRIAL

    def may_try(self, provider: Provider) -> bool:
        """Return whether check would let a call through."""
        record = self._records.get(provider)
        return record is None or not record.resting or record.closed_until <= self._clock.monotonic()

    def rests(self, provider: Provider, /) -> bool:
        """Return whether the provider is left alone, trials aside."""
        record = self._records.get(provider)
        return record is not None and record.resting

    def answered(self, provider: Provider) -> None:
        """Note that the provider said something, a refusal included."""
        record = self._records.pop(provider, None)
        if record and record.resting:
            log.info("provider answers again", provider=provider)

    def failed(self, provider: Provider) -> None:
        """Note that the provider did not answer, or with an error of its own.

        While it rests only the trial counts: what was under way when the rest began tells nothing new.
        """
        record = self._records.setdefault(provider, Record())
        record.failures += 1
        if record.failures < FAILURES or (record.resting and not record.on_trial):
            return
        if not record.resting:
            log.error("provider is not answering: refreshes wait", provider=provider, failures=record.failures)
        record.rest = min(record.rest * 2, LONGEST_REST) if record.resting else FIRST_REST
        record.on_trial = False
        record.closed_until = self._clock.monotonic() + record.rest
