"""Values of messages in the words that people read."""

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.token.v1 import token_pb2

NONE = "-"


def status_word(status: token_pb2.ConnectionStatus.ValueType) -> str:
    """Return how a connection stands."""
    return token_pb2.ConnectionStatus.Name(status).removeprefix("CONNECTION_STATUS_")


def provider_word(provider: token_pb2.Provider.ValueType) -> str:
    """Return a provider as options name it."""
    return token_pb2.Provider.Name(provider).removeprefix("PROVIDER_").removeprefix("TIKTOK_").lower().replace("_", "-")


def owner_word(owner: token_pb2.Owner) -> str:
    """Return an owner as arguments name it."""
    return f"user:{owner.id}" if owner.kind == token_pb2.OWNER_KIND_USER else owner.id


def moment(stamp: Timestamp) -> str:
    """Return a time in UTC; a dash for one that is not set."""
    return f"{stamp.ToDatetime():%Y-%m-%d %H:%M:%S}" if stamp.seconds else NONE
