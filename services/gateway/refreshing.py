"""Shops whose tokens are refreshed by hand, one by one as they end; who leaves stops nothing."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from services.gateway.shapes.refreshes import Result, shop_result

Ended = AsyncGenerator[token_pb2.RefreshedConnection, None]
Results = AsyncGenerator[Result, None]


@dataclass(frozen=True, kw_only=True)
class Refreshing:
    """Has the tokens of shops refreshed."""

    tokens: token_pb2_grpc.TokenServiceStub
    connections: token_pb2_grpc.ConnectionServiceStub

    async def results(self, order: token_pb2.RefreshAllRequest) -> Results:
        """Yield each shop's result, with the hours that its token has left, when its connection has ended."""
        async with aclosing(self._ended(order)) as connections:
            async for ended in connections:
                for result in await self._of_shops(ended):
                    yield {**result, "hoursLeft": ended.hours_left}

    async def _ended(self, order: token_pb2.RefreshAllRequest) -> Ended:
        call = self.tokens.RefreshAll(order)
        try:
            async for news in call:
                if news.HasField("ended"):
                    yield news.ended
        finally:
            call.cancel()

    async def _of_shops(self, ended: token_pb2.RefreshedConnection) -> list[Result]:
        if len(ended.shop_numbers) <= 1:
            return [shop_result(ended, next(iter(ended.shop_numbers), None), ended.name)]
        # Its name is that of all its shops.
        reference = token_pb2.ConnectionReference(connection_id=ended.connection_id)
        found = await self.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference))
        return [shop_result(ended, shop.number, shop.name) for shop in found.connection.shops]


def shops_order(*, force: bool, dry_run: bool, team_id: int | None = None) -> token_pb2.RefreshAllRequest:
    """Return the order for shops, of a team or of all; force takes in what is not due."""
    provider = token_pb2.PROVIDER_TIKTOK_SHOP
    return token_pb2.RefreshAllRequest(provider=provider, team_id=team_id, force=force, dry_run=dry_run)
