"""Leaves an endpoint alone while it fails, so that a storm costs few calls and few attempts of stores.

Each endpoint has an allowance for failures: a failure takes one from it, a success gives a fifth back, and when it is
spent, the endpoint rests. So calls that fail, which are those that are repeated, are at most a fifth of those that
succeed, but for what the allowance begins with and for a few after each rest.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.clock import Clock
from libs.errors import StorageUnavailable, UpstreamUnavailable
from services.sync.domain.items import GaveBack

ALLOWANCE = 10.0  # failures at once that are no reason to worry
REGAINED = 0.2  # by every success
AFTER_A_TRIAL = 3.0  # one success is no recovery yet
FIRST_REST = 10.0  # seconds, doubled while the trials after it fail
LONGEST_REST = 300.0

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

    @asynccontextmanager
    async def watch(self, endpoint: str) -> AsyncIterator[None]:
        """Watch one call; UpstreamUnavailable, without it, while the endpoint rests, then one call goes ahead alone."""
        record = self._records.setdefault(endpoint, Record())
        trial = await self._admit(record)
        try:
            yield
        except UpstreamUnavailable:
            record.allowance -= 1
            if trial or record.is_spent:
                self._rest(endpoint, record)
            raise
        except (StorageUnavailable, GaveBack):
            # Our own affairs say nothing about TikTok.
            raise
        except Exception:
            # A refusal is an answer.
            self._answered(endpoint, record)
            raise
        else:
            self._answered(endpoint, record)
        finally:
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
