"""What the token service knows of stores: their connections, and links that make one."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from services.gateway.backends import Backends

# A connection with the longest texts is a few KiB: this many stay below gRPC's 4 MiB.
PAGE = 500
# An operator sends the link to somebody, who may read it tomorrow.
LINK_LIFE = Duration(seconds=86_400)


async def connections_of(backends: Backends, store_codes: Sequence[str]) -> list[token_pb2.Connection]:
    """Return the Login Kit connections of these stores, lowest number first."""
    connections: list[token_pb2.Connection] = []
    page_token = ""
    while store_codes:
        request = token_pb2.ListConnectionsRequest(
            page_size=PAGE, page_token=page_token, owner_kind=token_pb2.OWNER_KIND_STORE, owner_ids=store_codes
        )
        page = await backends.connections.ListConnections(request)
        connections += [row for row in page.connections if row.provider == token_pb2.PROVIDER_LOGIN_KIT]
        page_token = page.next_page_token
        if not page_token:
            break
    return connections


async def operators_link(backends: Backends, store_code: str) -> token_pb2.StartAuthorizationResponse:
    """Return a link for any browser, once; it may also put another account in the place of a live one."""
    found = await backends.stores.GetStore(sync_pb2.GetStoreRequest(store_code=store_code))
    request = token_pb2.StartAuthorizationRequest(
        provider=token_pb2.PROVIDER_LOGIN_KIT,
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=store_code),
        team_id=found.store.team_id,
        binding=token_pb2.LINK_BINDING_NONE,
        purpose=token_pb2.LINK_PURPOSE_REPLACE,
        ttl=LINK_LIFE,
    )
    return await backends.connections.StartAuthorization(request)
