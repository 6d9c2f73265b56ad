"""When a failed attempt is repeated: a value in, a decision out, no clock and no dice of its own."""

from dataclasses import dataclass

from libs.errors import TokhubError, TryLater, UpstreamBadResponse
from libs.tiktok.display_objects import AccessTokenInvalid

SHORTEST, LONGEST = 1.0, 900.0  # seconds


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """At most so many attempts without progress, with waits that double from first_wait seconds on."""

    attempts: int = 5
    first_wait: float = 1.0

    def wait_after(self, error: TokhubError, *, attempt: int, draw: float) -> float | None:
        """Return the seconds to wait after the attempt (the first is 1), None to give up; draw is within [0, 1)."""
        if attempt >= self.attempts or not may_pass(error):
            return None
        backoff = self.first_wait * 2.0 ** (attempt - 1) * (0.5 + draw)
        asked = error.retry_after if isinstance(error, TryLater) else 0.0
        return min(max(backoff, asked, SHORTEST), LONGEST)


def may_pass(error: TokhubError) -> bool:
    """Return whether the same call may succeed later; a page of HTML passes as often as a 503 does."""
    if isinstance(error, AccessTokenInvalid):
        return False
    return isinstance(error, TryLater | UpstreamBadResponse)
