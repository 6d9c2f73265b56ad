"""The log line that people follow during a sync: at most one a second for each run, and always the last."""

import structlog

from libs.clock import Clock
from services.sync.domain.progress import Tally

INTERVAL = 1.0  # seconds
log = structlog.get_logger()


class ProgressLog:
    """Writes "Sync progress" lines for the items this process ends."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def note(self, tally: Tally) -> None:
        """Write a line, unless the run had one less than a second ago."""
        now = self._clock.monotonic()
        if not tally.is_final and now - self._last.get(tally.run_id, -INTERVAL) < INTERVAL:
            return
        # A run that ends in another process leaves its time behind here; a minute later it says nothing any more.
        self._last = {run: at for run, at in self._last.items() if now - at < 60}
        self._last[tally.run_id] = now
        percent = round(100 * tally.processed / tally.total) if tally.total else 100
        log.info("Sync progress", run_id=tally.run_id, processed=tally.processed, total=tally.total, percent=percent)
