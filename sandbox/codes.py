"""Authorization codes: short-lived, good for one exchange, and full of characters that must be percent-encoded."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sandbox.clock import SandboxClock


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to, and for which request."""

    open_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    code_challenge: str


@dataclass(frozen=True, slots=True)
class ShopConsent:
    """What a seller or creator agreed to, and when; sandbox time."""

    open_id: str
    agreed: float


Agreed = TypeVar("Agreed", Consent, ShopConsent)


@dataclass(slots=True)
class _Issued(Generic[Agreed]):
    consent: Agreed
    expires: float
    spent: bool = False


class Codes(Generic[Agreed]):
    """Codes on their way from the consent page to the exchange."""

    def __init__(self, *, clock: SandboxClock, ttl_seconds: Callable[[], float]) -> None:
        self._clock = clock
        self._ttl = ttl_seconds
        self._issued: dict[str, _Issued[Agreed]] = {}

    def issue(self, consent: Agreed, prefix: str = "") -> str:
        """Return a new code for this consent."""
        self._forget_expired()
        code = f"{prefix}CNRY{secrets.token_urlsafe(24)}*0!{1000 + secrets.randbelow(9000)}"
        self._issued[code] = _Issued(consent, self._clock.now() + self._ttl())
        return code

    def peek(self, code: str) -> Agreed | None:
        """Return the consent of a code that can still be exchanged."""
        issued = self._issued.get(code)
        if issued is None or issued.spent or issued.expires <= self._clock.now():
            return None
        return issued.consent

    def was_spent(self, code: str) -> bool:
        """Say whether this code was exchanged before, as far back as its life goes."""
        issued = self._issued.get(code)
        return issued is not None and issued.spent

    def spend(self, code: str) -> None:
        """Use the code up."""
        self._issued[code].spent = True

    def _forget_expired(self) -> None:
        now = self._clock.now()
        while self._issued and (oldest := next(iter(self._issued))) and self._issued[oldest].expires <= now:
            del self._issued[oldest]
