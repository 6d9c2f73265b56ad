"""Keeps the key rings of all replicas in step: a key seals only once every live replica has said that it knows it.

Which key is active stands in the database. A replica reports the keys it knows before it serves and every few seconds
after; a report that finds a preferred key known to all live replicas, and never active before, activates it. So no key
becomes active twice, and two replicas that list different keys first cannot take turns.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

import structlog

from libs.clock import Clock
from libs.errors import KeyNotReady, TokhubError
from libs.vault.ring import KeyRing, WrongKeys
from libs.vault.usage import WARN_AT

REPORT_EVERY = 5.0  # seconds
LIVE_FOR = 20.0  # seconds after its last report that a replica counts as alive

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What a replica knows: key ids, the preferred one among them, and what each has sealed since the last report."""

    known: Sequence[str]
    preferred: str
    sealed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What all replicas go by: the active key, and how often each key has sealed."""

    active: str
    encryptions: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class KeyStanding:
    """One key as the database has it."""

    id: str
    active: bool
    preferred: bool
    first_seen_at: datetime
    activated_at: datetime | None
    encryptions: int
    rows: int
    replicas: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RingStanding:
    """All keys, the live replicas, and how many rows need a key that nobody ever had."""

    keys: Sequence[KeyStanding]
    live_replicas: Sequence[str]
    unrecognised_rows: int

    def waiting(self) -> KeyStanding | None:
        """Return a key that is preferred and not active because a live replica lacks it."""
        lacked = (key for key in self.keys if key.preferred and set(key.replicas) != set(self.live_replicas))
        return next(lacked, None)


class KeyRingPort(Protocol):
    """The ring in the database, by its clock. Every method raises StorageUnavailable when that cannot be used."""

    async def report(self, report: KeyReport) -> Agreement:
        """Note what this replica knows and activate what all know; raise WrongKeys when it lacks the active key."""
        ...

    async def leave(self) -> None:
        """Forget this replica."""
        ...

    async def standing(self) -> RingStanding:
        """Return how the ring stands."""
        ...


class RingMember:
    """One replica's part in the ring; reports while its context is open, and before that once."""

    def __init__(self, *, ring: KeyRing, keys: KeyRingPort, clock: Clock) -> None:
        self.in_step = False
        self._ring = ring
        self._keys = keys
        self._clock = clock
        self._warned: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.report()
        self._reporting = asyncio.create_task(self._keep_reporting(), name="key ring reports")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reporting.cancel()
        with suppress(asyncio.CancelledError):
            await self._reporting
        with suppress(TokhubError, WrongKeys):
            await self.report()
            await self._keys.leave()

    async def report(self) -> None:
        """Say which keys are known here, and seal with the active one; raise WrongKeys when it is lacking."""
        sealed = self._ring.usage.take()
        report = KeyReport(known=self._ring.key_ids, preferred=self._ring.preferred, sealed=sealed)
        try:
            agreement = await self._keys.report(report)
        except BaseException as error:
            self._ring.usage.give_back(sealed)
            self.in_step = self.in_step and not isinstance(error, WrongKeys)
            raise
        self._follow(agreement)

    def _follow(self, agreement: Agreement) -> None:
        if agreement.active != self._ring.active:
            log.info("another key seals from now on", key=agreement.active, before=self._ring.active)
        self._ring.activate(agreement.active)
        self._ring.usage.learn(agreement.encryptions)
        self.in_step = True
        sealed = self._ring.usage.total(agreement.active)
        if sealed >= WARN_AT and agreement.active not in self._warned:
            self._warned.add(agreement.active)
            log.warning("this key has sealed often: add a new one (docs/vault.md)", key=agreement.active, sealed=sealed)

    async def _keep_reporting(self) -> None:
        while True:
            await self._clock.sleep(REPORT_EVERY)
            try:
                await self.report()
            except WrongKeys as error:
                log.error("this replica lacks a key: start it again with that key", why=str(error))
            except TokhubError as error:
                log.warning("keys not reported", error=error.message)
            except Exception as error:
                log.error("keys not reported", exc_info=error)


def raise_if_waiting(standing: RingStanding) -> None:
    """Raise KeyNotReady, naming key and replicas, when a preferred key waits for a replica that lacks it."""
    key = standing.waiting()
    if key is None:
        return
    lacking = ", ".join(sorted(set(standing.live_replicas) - set(key.replicas)))
    raise KeyNotReady(
        f"Key {key.id} is not active yet, because these replicas do not know it: {lacking}. "
        f"Start each of them again with {key.id} in TOKEN_ENC_KEYS, then ask again.",
        metadata={"key_id": key.id, "replicas": lacking},
    )
