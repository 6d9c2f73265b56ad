"""One clock for everything that lives, expires or waits; it can run fast, stand still and be moved forward."""

import asyncio
import time
from dataclasses import dataclass

DAY_SECONDS = 86_400
LAST = 7_258_118_400  # the year 2200 begins: no lifetime that is granted before it leads out of the calendar


@dataclass(frozen=True, slots=True)
class Anchor:
    """Say that at Unix time `wall` the sandbox showed `sandbox` and ran `scale` times as fast."""

    wall: float
    sandbox: float
    scale: float

    def at(self, wall: float) -> float:
        """Return the sandbox time at Unix time `wall`."""
        return self.sandbox + (wall - self.wall) * self.scale


class SandboxClock:
    """Sandbox time in Unix seconds; never goes backwards while the process lives."""

    def __init__(self, *, scale: float = 1.0, resumed_from: Anchor | None = None) -> None:
        wall = time.time()
        self._scale = scale
        self._origin = resumed_from.at(wall) if resumed_from else wall
        self._started = time.monotonic()
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """Whether it stands still; waits go on at its scale all the same."""
        return self._frozen

    @property
    def scale(self) -> float:
        """Sandbox seconds per real second."""
        return self._scale

    def now(self) -> float:
        """Return the sandbox time in Unix seconds."""
        return self._origin + (0 if self._frozen else (time.monotonic() - self._started) * self._scale)

    def today(self) -> int:
        """Return the UTC day of sandbox time, counted from 1970-01-01."""
        return int(self.now() // DAY_SECONDS)

    def real(self, seconds: float) -> int:
        """Return how long a client's own watch shows for `seconds` of sandbox time."""
        return max(0, int(seconds / self._scale + 0.001))  # a float's hair below a whole second is that second

    def on_client_watch(self, moment: float) -> int:
        """Return what a client's own watch, which nobody moves, will show at this sandbox time; Unix seconds."""
        return int(time.time() + (moment - self.now()) / self._scale + 0.001)

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of sandbox time."""
        if seconds > 0:
            await asyncio.sleep(seconds / self._scale)

    def advance(self, seconds: float) -> None:
        """Move the clock forward; sleeps already under way keep their real length."""
        self._origin += seconds

    def rescale(self, scale: float) -> None:
        """Run `scale` times as fast as real time from this moment on."""
        self._hold()
        self._scale = scale

    def freeze(self, frozen: bool) -> None:
        """Stand still from this moment on, or go on from where it stands."""
        self._hold()
        self._frozen = frozen

    def _hold(self) -> None:
        self._origin = self.now()
        self._started = time.monotonic()

    def anchor(self) -> Anchor:
        """Return what a later process needs to go on with this time."""
        return Anchor(wall=time.time(), sandbox=self.now(), scale=self._scale)
