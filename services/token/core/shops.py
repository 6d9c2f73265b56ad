"""Learns the shops of connections whose shops TikTok could not tell when they were made."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from libs.errors import TokhubError
from libs.secret import Secret
from libs.vault.ring import CannotOpen
from services.token.core.connections import Held
from services.token.core.provider import Outcome
from services.token.core.vault import Vault
from services.token.domain.connection import Connection, OwnerKind
from services.token.domain.shop import Choice, Shop

AT_ONCE = 20

log = structlog.get_logger()


class ShopsPort(Protocol):
    """Rows of shops. Methods raise StorageUnavailable when the database cannot be used."""

    async def due(self, most: int) -> Sequence[tuple[Held, str]]:
        """Return connections whose shops are not known, with the wanted shop; nobody else gets them for a while."""
        ...

    async def learn(self, connection: Connection, shops: Sequence[Shop]) -> tuple[Shop, ...]:
        """Store the shops of a connection, unless it has moved on; return those left out, being live elsewhere."""
        ...


class ShopSource(Protocol):
    """Where shops are learnt."""

    async def shops(self, access_token: Secret, /) -> tuple[Shop, ...]:
        """Return the shops of a grant; raise an Outcome."""
        ...


class ShopLearner:
    """Asks for the shops that are not known."""

    def __init__(self, *, rows: ShopsPort, source: ShopSource, vault: Vault) -> None:
        self._rows = rows
        self._source = source
        self._vault = vault

    async def learn_due(self) -> int:
        """Ask for the shops of connections that are due; return how many were learnt."""
        due = await self._rows.due(AT_ONCE)
        return sum(await asyncio.gather(*(self.learn(held, wanted) for held, wanted in due)))

    async def learn(self, held: Held, wanted: str) -> bool:
        """Ask for the shops of a connection; return whether they are known now."""
        connection = held.connection
        try:
            token = self._vault.open_at(held.access, held.place)
            shops = await self._source.shops(token)
            left_out = await self._rows.learn(connection, chosen(shops, connection, wanted))
        except (Outcome, TokhubError, CannotOpen) as error:
            log.warning("shops are asked for later", connection=str(connection.id), why=type(error).__name__)
            return False
        for shop in left_out:
            log.warning("shop is live on another connection", connection=str(connection.id), shop=shop.id)
        return True


def chosen(shops: Sequence[Shop], connection: Connection, wanted: str) -> Sequence[Shop]:
    """Return the shops of an owner who cannot be asked any more: all, when no choice can be made."""
    choice = Choice(only_one=connection.owner.kind is OwnerKind.USER, wanted=wanted)
    return choice.among(shops) or shops
