"""Users as the services are told of them."""

from tokhub.token.v1 import token_pb2


def user_of(user_id: str) -> token_pb2.Owner:
    """Return a user as an owner."""
    return token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id=user_id)


def owner_connection(provider: token_pb2.Provider.ValueType, user_id: str) -> token_pb2.OwnerConnection:
    """Return what names a user's connection with a provider."""
    return token_pb2.OwnerConnection(provider=provider, owner=user_of(user_id))


def reference(provider: token_pb2.Provider.ValueType, user_id: str) -> token_pb2.ConnectionReference:
    """Return what refers to a user's connection with a provider."""
    return token_pb2.ConnectionReference(owner_connection=owner_connection(provider, user_id))
