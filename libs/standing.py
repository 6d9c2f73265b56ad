"""How a store stands by its connections, in the words that every room uses."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tokhub.token.v1 import token_pb2

NOT_CONNECTED = "NOT_CONNECTED"
STATUSES: Mapping[int, str] = MappingProxyType(
    {
        token_pb2.CONNECTION_STATUS_ACTIVE: "CONNECTED",
        token_pb2.CONNECTION_STATUS_SUSPECT: "CONNECTED",
        token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED: "NEED_RECONNECT",
        token_pb2.CONNECTION_STATUS_DISCONNECTED: "DISCONNECTED",
    }
)


def by_store(connections: Iterable[token_pb2.Connection]) -> dict[str, token_pb2.Connection]:
    """Return the connection that stands for each store: a live one before a disconnected one, then the newest."""
    ranked = sorted(connections, key=rank)
    return {connection.owner.id: connection for connection in ranked}


def rank(connection: token_pb2.Connection) -> tuple[bool, int]:
    """Return what puts the connection that matters last."""
    return connection.status != token_pb2.CONNECTION_STATUS_DISCONNECTED, connection.number


def connection_status(connection: token_pb2.Connection | None) -> str:
    """Return a store's status by its connection."""
    return STATUSES.get(connection.status, NOT_CONNECTED) if connection else NOT_CONNECTED
