"""TikTok's rate limit as a value: so many calls of an endpoint in any stretch of so many seconds."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from math import floor


class Lane(Enum):
    """Who waits for a call: a person for one account, or a run over many."""

    INTERACTIVE = auto()
    BULK = auto()


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """At most `calls` in any `window` seconds, of which `interactive_share` is out of reach for bulk."""

    calls: int = 600
    window: float = 60.0
    interactive_share: float = 0.05

    @property
    def bulk_calls(self) -> int:
        """How many calls of a window bulk may make; never none."""
        return max(1, self.calls - floor(self.calls * self.interactive_share))

    @property
    def cleared_after(self) -> float:
        """Seconds from a call's end until its slot is free again: their clock and ours do not run exactly alike."""
        return self.window * 1.002

    @property
    def grain(self) -> float:
        """Seconds to which times are rounded up, so that a window is a few hundred rows, whatever the limit."""
        return self.window / 300

    @property
    def longest_nap(self) -> float:
        """Seconds after which who waits asks again: calls that end elsewhere clear their slots sooner than foreseen."""
        return self.window / 20

    @property
    def page_spacing(self) -> float:
        """Seconds between two calls for one account: a public report saw 429 after 36 pages back to back."""
        return self.window / 240


@dataclass(frozen=True, kw_only=True)
class EndpointBudget:
    """What an endpoint may be called in a window now, what of that counts, and until when nothing may be sent."""

    endpoint: str
    limit: int
    used: int
    resumes_at: datetime | None
