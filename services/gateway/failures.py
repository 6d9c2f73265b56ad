"""Tells operators of failed authentications: how many there are, and which address is blocked until when."""

from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry, Counter

from libs.clock import Clock

log = structlog.get_logger()


class FailureReport:
    """Counts, and writes the whole address into the log: who is locked out asks an operator, and gives that."""

    def __init__(self, *, block_seconds: float, clock: Clock, registry: CollectorRegistry) -> None:
        self._block_seconds = block_seconds
        self._clock = clock
        self._failures = Counter(
            "tokhub_auth_failures", "Wrong or missing keys and tokens that were counted.", registry=registry
        )
        self._lockouts = Counter("tokhub_auth_lockouts", "Addresses that were blocked.", registry=registry)

    def failed(self) -> None:
        """Count a failure."""
        self._failures.inc()

    def blocked(self, address: str) -> None:
        """Tell that a failure has blocked its address."""
        self._lockouts.inc()
        until = self._clock.now() + timedelta(seconds=self._block_seconds)
        log.warning("address locked out", address=address, until=until.isoformat(timespec="seconds"))
