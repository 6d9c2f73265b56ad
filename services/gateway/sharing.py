"""Whether limits are shared at this moment: a database that failed is left alone for a second, then tried by one."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Gauge

from libs.clock import Clock
from libs.errors import StorageUnavailable

PAUSE = 1.0  # seconds between tries

log = structlog.get_logger()


class Sharing:
    """Remembers how the last question to the database went; a log line and a number tell each change."""

    def __init__(self, *, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._is_shared = True
        self._try_at = 0.0
        self._shared = Gauge(
            "tokhub_limits_shared",
            "1 while limits and lockouts are shared with other gateways, 0 while they are counted in this process.",
            registry=registry,
        )
        self._shared.set(1)

    @contextmanager
    def question(self) -> Iterator[None]:
        """Watch one question; raise StorageUnavailable at once when it is too early to ask again."""
        now = self._clock.monotonic()
        if not self._is_shared and now < self._try_at:
            raise StorageUnavailable
        self._try_at = now + PAUSE
        try:
            yield
        except StorageUnavailable as error:
            self._turn_alone(type(error.__cause__).__name__)
            raise
        self._turn_shared()

    def _turn_alone(self, cause: str) -> None:
        self._try_at = self._clock.monotonic() + PAUSE
        if self._is_shared:
            log.warning("limits and lockouts are counted in this process until the database answers", cause=cause)
        self._is_shared = False
        self._shared.set(0)

    def _turn_shared(self) -> None:
        if not self._is_shared:
            log.info("limits and lockouts are shared again")
        self._is_shared = True
        self._shared.set(1)
