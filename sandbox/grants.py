"""The life of a grant: opened once, refreshed with rotation, revoked; saved before anyone is told."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol
from uuid import uuid4

from sandbox.clock import SandboxClock
from sandbox.settings import Switches
from sandbox.signing import Claim, Family, Signer, TokenKind

MILLISECONDS = 1_000
YEAR_2123 = 4_841_467_787  # the sheet: seen with a seller in 2024
Provider = Literal["login", "shop"]
Reason = Literal["unknown", "expired", "revoked", "reused"]


@dataclass(slots=True)
class Grant:
    """One account's consent; `refresh_serial` names the live refresh token, `access_serial` the last access token."""

    id: str
    open_id: str
    scopes: list[str]
    opened: float
    refresh_expires: float
    refresh_serial: int = 1
    access_serial: int = 1
    retired: dict[str, float] = field(default_factory=dict)
    revoked: str = ""
    family: Family = "login"
    access_life: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a store keeps."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Opening:
    """Who agreed to what, and when in sandbox time; lives in seconds, None for those of the switches."""

    open_id: str
    scopes: tuple[str, ...]
    family: Family = "login"
    agreed: float | None = None
    access_life: float | None = None
    refresh_life: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How the tokens of one API live and die."""

    rotation: str
    grace: float
    reuse_revokes_family: bool
    access_life: float
    refresh_life: float
    refresh_slides: bool
    refresh_until: float | None


def rules_of(switches: Switches, family: Family) -> Rules:
    """Return the rules the switches set for tokens of this family."""
    if family == "login":
        return Rules(
            rotation=switches.refresh_rotation,
            grace=switches.refresh_grace_seconds,
            reuse_revokes_family=switches.reuse_revokes_family,
            access_life=switches.access_ttl_seconds,
            refresh_life=switches.refresh_ttl_seconds,
            refresh_slides=switches.refresh_life == "sliding",
            refresh_until=None,
        )
    return Rules(
        rotation=switches.shop_refresh_rotation,
        grace=switches.shop_refresh_grace_seconds,
        reuse_revokes_family=switches.shop_reuse_revokes_family,
        access_life=switches.shop_access_ttl_seconds,
        refresh_life=switches.shop_refresh_ttl_seconds,
        refresh_slides=False,
        refresh_until=YEAR_2123 if switches.shop_refresh_expiry == "2123" else None,
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """What one successful exchange or refresh hands out, and when; lives in sandbox seconds."""

    grant: Grant
    access_token: str
    refresh_token: str
    access_life: float
    refresh_life: float
    issued: float


class RefusedError(Exception):
    """A token was presented that does not work; `grant` is None when it was never minted here."""

    def __init__(self, reason: Reason, grant: Grant | None = None, serial: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.grant = grant
        self.serial = serial


class GrantStore(Protocol):
    """Where grants survive; `save` returns when a killed process could not lose it any more."""

    def save(self, grant: Grant) -> None:
        """Keep this state of the grant."""


class Grants:
    """All grants and the rules by which their tokens live and die."""

    def __init__(
        self, *, clock: SandboxClock, signer: Signer, store: GrantStore, switches: Callable[[], Switches]
    ) -> None:
        self._clock = clock
        self._signer = signer
        self._store = store
        self._switches = switches
        self._grants: dict[str, Grant] = {}
        self._by_account: dict[str, list[Grant]] = {}

    def adopt(self, grant: Grant) -> None:
        """Take over a grant that was saved by an earlier process."""
        self._grants[grant.id] = grant
        self._by_account.setdefault(grant.open_id, []).append(grant)

    def of(self, open_id: str) -> list[Grant]:
        """Return every grant of an account, oldest first."""
        return self._by_account.get(open_id, [])

    def open(self, opening: Opening) -> Pair:
        """Start a grant and return its first tokens; a refresh token lives from the moment of agreement."""
        now, rules = self._clock.now(), self._rules(opening.family)
        agreed = now if opening.agreed is None else opening.agreed
        expires = agreed + (opening.refresh_life or rules.refresh_life)
        if rules.refresh_until and not opening.refresh_life:
            expires = rules.refresh_until
        grant = Grant(
            uuid4().hex[:12],
            opening.open_id,
            list(opening.scopes),
            opened=now,
            refresh_expires=expires,
            family=opening.family,
            access_life=opening.access_life,
        )
        self._store.save(grant)
        self.adopt(grant)
        return self._pair(grant, now)

    def refresh(self, token: str, provider: Provider = "login") -> Pair:
        """Exchange a refresh token for new tokens, rotating as the switches say; RefusedError if it is not alive."""
        grant, serial = self._alive(token, provider)
        now, rules = self._clock.now(), self._rules(grant.family)
        grant.access_serial += 1
        if rules.refresh_slides:
            grant.refresh_expires = now + rules.refresh_life
        if rules.rotation != "same":
            self._retire(grant, serial, now)
        self._store.save(grant)
        return self._pair(grant, now)

    def access(self, token: str, provider: Provider = "login") -> Grant:
        """Return the grant an access token speaks for; RefusedError if it does not."""
        claim, grant = self._read(token, "access", provider)
        if grant.revoked:
            raise RefusedError("revoked", grant, claim.serial)
        if claim.expires <= self._clock.now() * MILLISECONDS:
            raise RefusedError("expired", grant, claim.serial)
        return grant

    def revoke(self, grant: Grant, why: str) -> None:
        """End a grant: none of its tokens works from now on."""
        grant.revoked = why
        self._store.save(grant)

    def owner(self, token: str) -> str | None:
        """Return the open_id behind any token ever minted, alive or not."""
        claim = self._signer.read(token)
        grant = self._grants.get(claim.grant) if claim else None
        return grant.open_id if grant else None

    def live_refresh_token(self, grant: Grant) -> str:
        """Return the refresh token that works now, if the grant is alive."""
        expires = int(grant.refresh_expires * MILLISECONDS)
        return self._signer.mint(Claim("refresh", grant.id, grant.refresh_serial, expires, grant.family))

    def _rules(self, family: Family) -> Rules:
        return rules_of(self._switches(), family)

    def _alive(self, token: str, provider: Provider) -> tuple[Grant, int]:
        claim, grant = self._read(token, "refresh", provider)
        if grant.revoked:
            raise RefusedError("revoked", grant, claim.serial)
        if claim.serial != grant.refresh_serial and not self._in_grace(grant, claim.serial):
            if self._rules(grant.family).reuse_revokes_family:
                self.revoke(grant, "refresh token reused")
            raise RefusedError("reused", grant, claim.serial)
        if grant.refresh_expires <= self._clock.now():
            raise RefusedError("expired", grant, claim.serial)
        return grant, claim.serial

    def _read(self, token: str, kind: TokenKind, provider: Provider) -> tuple[Claim, Grant]:
        claim = self._signer.read(token)
        grant = self._grants.get(claim.grant) if claim else None
        if claim is None or grant is None or claim.kind != kind:
            raise RefusedError("unknown")
        if provider != ("login" if claim.family == "login" else "shop"):
            raise RefusedError("unknown")
        return claim, grant

    def _in_grace(self, grant: Grant, serial: int) -> bool:
        retired = grant.retired.get(str(serial))
        rules = self._rules(grant.family)
        if retired is None or rules.rotation != "grace":
            return False
        return self._clock.now() < retired + rules.grace

    def _retire(self, grant: Grant, serial: int, now: float) -> None:
        grace = self._rules(grant.family).grace
        grant.retired.setdefault(str(grant.refresh_serial), now)
        grant.retired.setdefault(str(serial), now)
        grant.retired = {s: at for s, at in grant.retired.items() if at + grace > now}
        grant.refresh_serial += 1

    def _pair(self, grant: Grant, now: float) -> Pair:
        life = grant.access_life or self._rules(grant.family).access_life
        claim = Claim("access", grant.id, grant.access_serial, int((now + life) * MILLISECONDS), grant.family)
        return Pair(
            grant=grant,
            access_token=self._signer.mint(claim),
            refresh_token=self.live_refresh_token(grant),
            access_life=life,
            refresh_life=grant.refresh_expires - now,
            issued=now,
        )
