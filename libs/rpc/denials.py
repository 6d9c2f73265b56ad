"""Says which denials are recorded: one in ten minutes of each caller and method, for a flood must not fill the disk."""

from dataclasses import dataclass

from libs.clock import Clock

EVERY = 600.0  # seconds
AGAIN = 10.0  # seconds until a denial that could not be recorded is due once more


@dataclass
class Count:
    """When a denial was recorded, and how many were not since."""

    at: float
    unrecorded: int = 0


class Denials:
    """Counts in memory, by caller and method: certificates and methods are few."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], Count] = {}

    def due(self, caller: str, method: str) -> int | None:
        """Return how many like this one were not recorded before it, None when this one is not to be."""
        now, count = self._clock.monotonic(), self._counts.get((caller, method))
        if count and now < count.at + EVERY:
            count.unrecorded += 1
            return None
        self._counts[caller, method] = Count(now)
        return count.unrecorded if count else 0

    def failed(self, caller: str, method: str, unrecorded: int) -> None:
        """Take back that one was recorded, and so many before it."""
        count = self._counts[caller, method]
        count.at = self._clock.monotonic() - EVERY + AGAIN
        count.unrecorded += unrecorded + 1
