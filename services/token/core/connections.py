"""The port to the rows of connections; every time in it is by the database's clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol
from uuid import UUID

from services.token.core.vault import SealedTokens, access_place
from services.token.domain.connection import (
    ByOwner,
    Connection,
    Need,
    OwnerKind,
    Reference,
    Status,
    Version,
    Why,
)
from services.token.domain.grant import Grant

Seal = Callable[[UUID, Version], SealedTokens]


@dataclass(frozen=True, kw_only=True)
class Held:
    """A connection with its sealed access token."""

    connection: Connection
    access: bytes = field(repr=False)

    @cached_property
    def place(self) -> bytes:
        """The only place in which the access token opens; a cached connection works it out once."""
        return access_place(self.connection.id, self.connection.version)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to refresh one version of one connection, for a while.

    failures counts the refreshes before this one that brought nothing. foreign_for is how many seconds ago another
    process presented this very token without leaving word of what came of it; None when nobody did. unanswered counts
    the leases before this one that presented this token and never learnt what came of it. A row is put_back when its
    timeline knows of newer tokens than it holds. Its name is no other lease's.
    """

    connection: Connection
    name: str
    access: bytes = field(repr=False)
    refresh: bytes = field(repr=False)
    failures: int
    foreign_for: float | None
    unanswered: int
    put_back: bool = False

    @property
    def id(self) -> UUID:
        """Return the connection's id."""
        return self.connection.id

    @property
    def version(self) -> Version:
        """Return the version the lease is for."""
        return self.connection.version


@dataclass(frozen=True, kw_only=True)
class Setback:
    """What a refresh that brought nothing leaves in the row; pause is in seconds, cause is for its timeline."""

    pause: float
    status: Status | None = None
    reason: Why | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which connections to list."""

    owner_kind: OwnerKind | None = None
    owner_ids: Sequence[str] = ()
    statuses: Sequence[Status] = ()


class Connecting(Protocol):
    """A way to store a new grant for an owner under a new epoch; link is the consent link it came by."""

    async def __call__(
        self, target: ByOwner, team_id: int, grant: Grant, seal: Seal, *, link: UUID | None = None
    ) -> Connection:
        """Return the connection; raise StateInvalid when the link has been ended, by a disconnect for example."""
        ...


class ConnectionsPort(Protocol):
    """Rows of connections. Every method raises StorageUnavailable when the database cannot be used."""

    async def find(self, reference: Reference) -> Held | None:
        """Return a connection by id or owner."""
        ...

    async def claim(self, connection_id: UUID, need: Need, *, lease: float) -> Lease | None:
        """Take the lease for lease seconds when the need is unmet and nobody holds it; else None."""
        ...

    async def holds(self, lease: Lease, seconds: float) -> bool:
        """Return whether a lease is in force and stays so for seconds."""
        ...

    async def save(self, lease: Lease, grant: Grant, sealed: SealedTokens) -> bool:
        """Store new tokens if the row still has the lease's version, whoever holds the lease by now."""
        ...

    async def leave(self, lease: Lease) -> None:
        """Give back a lease that was not used; when that fails, the next claim of this process takes it again."""
        ...

    async def give_back(self, lease: Lease, setback: Setback) -> bool:
        """End the lease without new tokens, if the row still has its version."""
        ...

    async def suspect(self, connection_id: UUID, version: Version, lacked_keys: Sequence[str]) -> bool:
        """Mark an active row of this version as SUSPECT because a token of it does not open; False when it is not.

        It is not when the row needs one of lacked_keys and that key exists: then the ring here is at fault.
        """
        ...

    async def connect(
        self, target: ByOwner, team_id: int, grant: Grant, seal: Seal, *, link: UUID | None = None
    ) -> Connection:
        """Store a new grant for an owner under a new epoch, as Connecting says.

        Raises AccountAlreadyConnected when the account is live on another owner, or the owner has another account.
        """
        ...

    async def replace(
        self, target: ByOwner, team_id: int, grant: Grant, seal: Seal, *, link: UUID | None = None
    ) -> Connection:
        """Store a new grant as connect does, also in place of the owner's other account, whose grant is then ended."""
        ...

    async def account_is_live(self, grant: Grant) -> bool:
        """Return whether the account of a grant has a live connection."""
        ...

    async def page(self, after: int, size: int, chosen: Filter) -> Sequence[Connection]:
        """Return up to size connections with a number above after, lowest first."""
        ...

    async def answered(self, connection_id: UUID, request_id: str) -> int | None:
        """Return the generation that a refresh request was answered with, or None for a new request."""
        ...

    async def record_answer(self, connection_id: UUID, request_id: str, generation: int) -> None:
        """Remember what a refresh request was answered with."""
        ...
