"""Looks connections up."""

from collections.abc import Sequence

from libs.errors import ConnectionNotFound
from services.token.core.connections import ConnectionsPort, Filter
from services.token.domain.connection import Connection, Reference

DEFAULT_PAGE = 100


class Directory:
    """What everyone may see of connections."""

    def __init__(self, connections: ConnectionsPort) -> None:
        self._connections = connections

    async def get(self, reference: Reference) -> Connection:
        """Return one connection; raise ConnectionNotFound."""
        held = await self._connections.find(reference)
        if held is None:
            raise ConnectionNotFound
        return held.connection

    async def page(self, after: int, size: int, chosen: Filter) -> tuple[Sequence[Connection], int | None]:
        """Return connections with a number above after, and the number the next page begins after, if there is one."""
        size = size or DEFAULT_PAGE
        found = await self._connections.page(after, size + 1, chosen)
        more = len(found) > size
        return found[:size], found[size - 1].number if more else None
