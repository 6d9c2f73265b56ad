"""Between the messages of token.proto and the core's values."""

from functools import lru_cache
from uuid import UUID

from tokhub.token.v1 import token_pb2

from libs.rpc.times import timestamp
from libs.secret import Secret
from services.token.core.disconnection import Revocation
from services.token.core.state import Purpose
from services.token.domain.connection import (
    ById,
    ByOwner,
    Connection,
    Owner,
    OwnerKind,
    Provider,
    Reference,
    Status,
)
from services.token.domain.import_entry import ImportEntry
from services.token.domain.import_results import Outcome
from services.token.domain.shop import Shop

PROVIDERS = {
    token_pb2.PROVIDER_LOGIN_KIT: Provider.LOGIN_KIT,
    token_pb2.PROVIDER_TIKTOK_SHOP: Provider.TIKTOK_SHOP,
}
OWNER_KINDS = {
    token_pb2.OWNER_KIND_STORE: OwnerKind.STORE,
    token_pb2.OWNER_KIND_USER: OwnerKind.USER,
}
STATUSES = {
    token_pb2.CONNECTION_STATUS_ACTIVE: Status.ACTIVE,
    token_pb2.CONNECTION_STATUS_SUSPECT: Status.SUSPECT,
    token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED: Status.REAUTH_REQUIRED,
    token_pb2.CONNECTION_STATUS_DISCONNECTED: Status.DISCONNECTED,
}
# Left out means the purpose that needs no operator.
PURPOSES = {
    token_pb2.LINK_PURPOSE_UNSPECIFIED: Purpose.CONNECT,
    token_pb2.LINK_PURPOSE_CONNECT: Purpose.CONNECT,
    token_pb2.LINK_PURPOSE_REPLACE: Purpose.REPLACE,
}
REVOCATION_VALUES = {
    Revocation.DONE: token_pb2.REVOCATION_DONE,
    Revocation.PENDING: token_pb2.REVOCATION_PENDING,
    Revocation.NOT_SUPPORTED: token_pb2.REVOCATION_NOT_SUPPORTED,
}
IMPORT_OUTCOME_VALUES = {
    Outcome.IMPORTED: token_pb2.IMPORT_OUTCOME_IMPORTED,
    Outcome.ALREADY_KNOWN: token_pb2.IMPORT_OUTCOME_ALREADY_KNOWN,
    Outcome.MERGED: token_pb2.IMPORT_OUTCOME_MERGED,
    Outcome.PENDING: token_pb2.IMPORT_OUTCOME_PENDING,
    Outcome.REFUSED: token_pb2.IMPORT_OUTCOME_REFUSED,
    Outcome.OWNER_TAKEN: token_pb2.IMPORT_OUTCOME_OWNER_TAKEN,
    Outcome.INVALID: token_pb2.IMPORT_OUTCOME_INVALID,
}
PROVIDER_VALUES = {provider: value for value, provider in PROVIDERS.items()}
OWNER_KIND_VALUES = {kind: value for value, kind in OWNER_KINDS.items()}
STATUS_VALUES = {status: value for value, status in STATUSES.items()}


def reference_of(message: token_pb2.ConnectionReference) -> Reference:
    """Return what names a connection."""
    if message.WhichOneof("reference") == "connection_id":
        return by_id(message.connection_id)
    return by_owner(message.owner_connection)


def by_owner(message: token_pb2.OwnerConnection) -> ByOwner:
    """Return what names a connection by its owner."""
    return ByOwner(provider=PROVIDERS[message.provider], owner=owner_of(message.owner))


@lru_cache(maxsize=65_536)
def by_id(text: str) -> ById:
    """Return what names a connection by its UUID; callers ask for the same ones again and again."""
    return ById(id=UUID(text))


def owner_of(message: token_pb2.Owner) -> Owner:
    """Return an owner."""
    return Owner(kind=OWNER_KINDS[message.kind], id=message.id)


def import_entry(message: token_pb2.ImportEntry) -> ImportEntry:
    """Return an entry of an import."""
    return ImportEntry(
        provider=PROVIDERS.get(message.provider, Provider.TIKTOK_SHOP),
        access_token=Secret(message.access_token),
        refresh_token=Secret(message.refresh_token),
        cipher=message.shop_cipher,
        name=message.name,
        team_id=message.team_id if message.HasField("team_id") else 1,
        shop_number=message.shop_number,
        shop_id=message.shop_id,
        connected_at=message.connect_seconds,
        owner=Owner(kind=OWNER_KINDS.get(message.owner.kind, OwnerKind.STORE), id=message.owner.id)
        if message.HasField("owner")
        else None,
    )


def connection_message(connection: Connection) -> token_pb2.Connection:
    """Return a connection's message; one that is disconnected has no tokens whose end could be told."""
    has_tokens = connection.status is not Status.DISCONNECTED
    return token_pb2.Connection(
        id=str(connection.id),
        number=connection.number,
        provider=PROVIDER_VALUES[connection.provider],
        owner=token_pb2.Owner(kind=OWNER_KIND_VALUES[connection.owner.kind], id=connection.owner.id),
        team_id=connection.team_id,
        account_id=connection.account_id,
        status=STATUS_VALUES[connection.status],
        reason=connection.reason,
        scopes=connection.scopes,
        epoch=connection.version.epoch,
        generation=connection.version.generation,
        access_expire_time=timestamp(connection.access_expires_at if has_tokens else None),
        refresh_expire_time=timestamp(connection.refresh_expires_at if has_tokens else None),
        connect_time=timestamp(connection.connected_at),
        update_time=timestamp(connection.updated_at),
        hours_left=round(connection.seconds_left / 3600, 2) if has_tokens else None,
        needs_refresh=connection.needs_refresh,
        shops=[shop_message(shop) for shop in connection.shops],
    )


def shop_message(shop: Shop) -> token_pb2.Shop:
    """Return a shop's message."""
    return token_pb2.Shop(
        id=shop.id,
        cipher=shop.cipher,
        name=shop.name,
        region=shop.region,
        seller_type=shop.seller_type,
        number=shop.number,
    )
