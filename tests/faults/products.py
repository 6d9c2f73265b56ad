"""Both products of TikTok under one roof: a store whose code begins with seller is on TikTok Shop, any other not."""

from tokhub.token.v1 import token_pb2

SELLER = "seller"


def provider_of(code: str) -> token_pb2.Provider.ValueType:
    """Return the product that a store's tokens are for."""
    return token_pb2.PROVIDER_TIKTOK_SHOP if code.startswith(SELLER) else token_pb2.PROVIDER_LOGIN_KIT


def token_endpoint(code: str) -> str:
    """Return what the sandbox calls the endpoint that gives a store's tokens."""
    return "shop_token" if code.startswith(SELLER) else "token"


def owner_of(code: str) -> token_pb2.Owner:
    """Return a store as an owner."""
    return token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code)


def reference(code: str) -> token_pb2.ConnectionReference:
    """Return what names a store's connection."""
    named = token_pb2.OwnerConnection(provider=provider_of(code), owner=owner_of(code))
    return token_pb2.ConnectionReference(owner_connection=named)


def start_of(code: str) -> token_pb2.StartAuthorizationRequest:
    """Return the request for a store's consent link."""
    return token_pb2.StartAuthorizationRequest(
        provider=provider_of(code), owner=owner_of(code), binding=token_pb2.LINK_BINDING_NONE
    )
