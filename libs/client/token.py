"""What a service asks for and what it gets: a connection's name, and an access token that never shows itself."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Self

from tokhub.token.v1 import token_pb2

from libs.secret import Secret


class Provider(IntEnum):
    """The product of TikTok that a connection is with."""

    LOGIN_KIT = token_pb2.PROVIDER_LOGIN_KIT
    TIKTOK_SHOP = token_pb2.PROVIDER_TIKTOK_SHOP


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Names a connection: by its owner and provider, or, without a provider, by its own id."""

    id: str
    owner_kind: token_pb2.OwnerKind.ValueType = token_pb2.OWNER_KIND_UNSPECIFIED
    provider: Provider | None = None

    @classmethod
    def of_store(cls, code: str, provider: Provider = Provider.LOGIN_KIT) -> Self:
        """Return the name of a store's connection."""
        return cls(id=code, owner_kind=token_pb2.OWNER_KIND_STORE, provider=provider)

    @classmethod
    def of_user(cls, user_id: str, provider: Provider = Provider.LOGIN_KIT) -> Self:
        """Return the name of a user's connection."""
        return cls(id=user_id, owner_kind=token_pb2.OWNER_KIND_USER, provider=provider)

    @classmethod
    def of_connection(cls, connection_id: str) -> Self:
        """Return the name of the connection with this UUID."""
        return cls(id=connection_id)

    def message(self) -> token_pb2.ConnectionReference:
        """Return how the token service is told which one is meant."""
        if self.provider is None:
            return token_pb2.ConnectionReference(connection_id=self.id)
        owner = token_pb2.Owner(kind=self.owner_kind, id=self.id)
        named = token_pb2.OwnerConnection(provider=token_pb2.Provider.ValueType(self.provider), owner=owner)
        return token_pb2.ConnectionReference(owner_connection=named)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A shop that a TikTok Shop token may act for; the cipher selects it in calls."""

    id: str
    cipher: str = field(repr=False)
    name: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Token:
    """An access token; fresh is False when it may end before the time that was asked for."""

    access_token: Secret
    expires: datetime
    generation: int
    fresh: bool
    connection_id: str
    account_id: str
    scopes: frozenset[str]
    shops: tuple[Shop, ...] = ()

    @classmethod
    def of(cls, answer: token_pb2.GetValidTokenResponse) -> Self:
        """Return the token in an answer."""
        return cls(
            access_token=Secret(answer.access_token),
            expires=answer.expire_time.ToDatetime(UTC),
            generation=answer.generation,
            fresh=answer.freshness == token_pb2.FRESHNESS_FRESH,
            connection_id=answer.connection_id,
            account_id=answer.account_id,
            scopes=frozenset(answer.scopes),
            shops=tuple(Shop(id=s.id, cipher=s.cipher, name=s.name, region=s.region) for s in answer.shops),
        )

    @property
    def authorization(self) -> str:
        """The value of the Authorization header, secret as the token is; TikTok Shop takes the bare token elsewhere."""
        return f"Bearer {self.access_token.reveal()}"


class Rejected(Exception):
    """TikTok says that the access token is not valid: raised by what TokenClient.use is given to call."""
