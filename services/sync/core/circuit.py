"""Leaves an endpoint alone while it fails, so that a storm costs few calls and few attempts of stores.

Each endpoint has an allowance for failures: a failure takes one from it, a success gives a fifth back, and when it is
spent, the endpoint rests. So calls that fail, which are those that are repeated, are at most a fifth of those that
succeed, but for what the allowance begins with and for a few after each rest.
"""

import asyncio
from dataclasses import dataclass
from types import TracebackType

import structlog

from libs.clock import Clock
from libs.errors import StorageUnavailable, UpstreamUnavailable
from services.sync.domain.items import GaveBack

ALLOWANCE = 10.0  # failures at once that are no reason to worry
REGAINED = 0.2  # by every success
AFTER_A_TRIAL = 3.0  # one success is no recovery yet
FIRST_REST = 10.0  # seconds, doubled while the trials after it fail
LONGEST_REST = 300.0

# Our own affairs say nothing about TikTok.
OUR_OWN = (StorageUnavailable, GaveBack)

log = structlog.get_logger()


@dataclass
class Record:
    """How an endpoint has been answering; trial is set while a call tries whether it does again."""

    allowance: float = ALLOWANCE
    rest: float = 0.0
    rests_until: float | None = None
    trial: asyncio.Event | None = None

    @property
    def is_spent(self) -> bool:
        """True when one failure more is too many and the endpoint does not rest yet."""
        return self.rests_until is None and self.allowance < 1


class Circuit:
    """One record per endpoint, each replica's own: it is the calls that tell."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, Record] = {}

    def watch(self, endpoint: str) -> "Watch":
        """Watch one call; UpstreamUnavailable, without it, while the endpoint rests, then one call goes ahead alone."""
        return Watch(self, endpoint)

    async def begin(self, endpoint: str) -> asyncio.Event | None:
        """Let a call begin; return what others wait for when it tries alone."""
        return await self._admit(self._records.setdefault(endpoint, Record()))

    def rests(self, endpoint: str) -> bool:
        """Return whether an endpoint is left alone, trials aside."""
        record = self._records.get(endpoint)
        return record is not None and record.rests_until is not None

    def end(self, endpoint: str, trial: asyncio.Event | None, error: BaseException | None) -> None:
        """Learn from the end of a call."""
        record = self._records[endpoint]
        if isinstance(error, UpstreamUnavailable):
            record.allowance -= 1
            if trial or record.is_spent:
                self._rest(endpoint, record)
        elif error is None or (isinstance(error, Exception) and not isinstance(error, OUR_OWN)):
            # A refusal is an answer.
            self._answered(endpoint, record)
        if trial:
            record.trial = None
            trial.set()

    async def _admit(self, record: Record) -> asyncio.Event | None:
        while record.rests_until is not None:
            left = record.rests_until - self._clock.monotonic()
            if left > 0:
                raise UpstreamUnavailable(
                    "TikTok is not answering: it is left alone for a moment, then tried again.", retry_after=left
                )
            if record.trial is None:
                record.trial = asyncio.Event()
                return record.trial
            await record.trial.wait()
        return None

    def _answered(self, endpoint: str, record: Record) -> None:
        if record.trial:
            record.rests_until = None
            record.allowance = AFTER_A_TRIAL
            log.info("TikTok answers again", endpoint=endpoint)
        record.allowance = min(record.allowance + REGAINED, ALLOWANCE)
        if record.allowance == ALLOWANCE:
            record.rest = 0.0

    def _rest(self, endpoint: str, record: Record) -> None:
        record.rest = min(record.rest * 2, LONGEST_REST) if record.rest else FIRST_REST
        record.rests_until = self._clock.monotonic() + record.rest
        log.error("TikTok is not answering: calls wait", endpoint=endpoint, seconds=record.rest)


class Watch:
    """One call, watched while the context is open."""

    def __init__(self, circuit: Circuit, endpoint: str) -> None:
        self._circuit = circuit
        self._endpoint = endpoint

    async def __aenter__(self) -> None:
        self._trial = await self._circuit.begin(self._endpoint)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._circuit.end(self._endpoint, self._trial, error)
