"""Finds the connection that an argument names: by number, by UUID, or by its owner."""

import re

import typer
from tokhub.token.v1 import token_pb2

from cli.lists import every_connection
from cli.options import Products
from cli.services import Services
from cli.words import provider_word
from libs.errors import ConnectionNotFound
from libs.standing import rank

HELP = "Number or UUID of the connection, a store code, store:CODE or user:ID."
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
KINDS = {"store": token_pb2.OWNER_KIND_STORE, "user": token_pb2.OWNER_KIND_USER}
PAGE = 1000


async def find_connection(services: Services, named: str, products: Products) -> token_pb2.Connection:
    """Return the connection; raise ConnectionNotFound, and BadParameter when an owner has one of either product."""
    if UUID.fullmatch(named):
        reference = token_pb2.ConnectionReference(connection_id=named)
        request = token_pb2.GetConnectionRequest(connection=reference)
        return (await services.token.connections.GetConnection(request)).connection
    if named.isascii() and named.isdigit():
        return await numbered(services, int(named))
    kind, colon, owner = named.rpartition(":")
    if kind not in KINDS and colon:
        raise typer.BadParameter(f"{named} names nothing. {HELP}")
    return await owned(services, token_pb2.Owner(kind=KINDS[kind or "store"], id=owner), products)


async def numbered(services: Services, number: int) -> token_pb2.Connection:
    """Return the connection with a number; they are listed by it."""
    async for connection in every_connection(services, token_pb2.ListConnectionsRequest(page_size=PAGE)):
        if connection.number == number:
            return connection
    raise ConnectionNotFound(f"No connection has the number {number}.")


async def owned(services: Services, owner: token_pb2.Owner, products: Products) -> token_pb2.Connection:
    """Return an owner's connection: a live one before a disconnected one, then the newest."""
    request = token_pb2.ListConnectionsRequest(page_size=PAGE, owner_kind=owner.kind, owner_ids=[owner.id])
    found = [
        one for one in (await services.token.connections.ListConnections(request)).connections if fits(one, products)
    ]
    if not found:
        raise ConnectionNotFound(f"Nobody called {owner.id} has a connection: connect the account first.")
    best = max(found, key=rank)
    rivals = {one.provider for one in found if rank(one)[0] == rank(best)[0]}
    if len(rivals) > 1:
        choices = " or ".join(f"--product {provider_word(one)}" for one in sorted(rivals))
        raise typer.BadParameter(f"{owner.id} has more than one connection: say {choices}.")
    return best


def fits(connection: token_pb2.Connection, products: Products) -> bool:
    """Return whether a connection is of a product."""
    return products is Products.ALL or connection.provider == products.provider
