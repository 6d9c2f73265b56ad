"""A sliding window: at most so many calls in the last so many seconds, by key."""

from collections import deque

from sandbox.clock import SandboxClock


class SlidingWindow:
    """Counts accepted calls; a refused call does not count."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._accepted: dict[str, deque[float]] = {}

    def admit(self, key: str, *, limit: int, window: float) -> float:
        """Count a call and return 0, or return the sandbox seconds until the window has room."""
        now = self._clock.now()
        times = self._accepted.setdefault(key, deque())
        while times and times[0] <= now - window:
            times.popleft()
        if len(times) >= limit:
            return times[-limit] + window - now
        times.append(now)
        return 0

    def clear(self) -> None:
        """Forget all calls."""
        self._accepted.clear()
