"""Creators' accounts: how one stands, what connects it, and letting it go."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tokhub.sync.v1 import account_pb2, sync_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import ConnectionNotFound
from services.gateway.owners import owner_connection, reference, user_of
from services.gateway.shapes.creators import account_status, metrics

PROVIDER = token_pb2.PROVIDER_LOGIN_KIT


@dataclass(frozen=True, kw_only=True)
class CreatorAccounts:
    """Asks the services about the account of a user."""

    connections: token_pb2_grpc.ConnectionServiceStub
    stats: sync_pb2_grpc.StatsServiceStub

    async def status(self, user_id: str) -> dict[str, Any]:
        """Return whether the account is connected, and what is known of it."""
        try:
            found, read = await asyncio.gather(
                self.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference(PROVIDER, user_id))),
                self.stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id)),
            )
        except ConnectionNotFound:
            return account_status(token_pb2.Connection(), account_pb2.AccountMetrics())
        return account_status(found.connection, read.metrics)

    async def metrics(self, user_id: str) -> dict[str, Any]:
        """Return the account's figures as TikTok last told them; raise ConnectionNotFound."""
        answer = await self.stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id))
        return metrics(answer.metrics)

    async def link(self, user_id: str, redirect_uri: str = "") -> token_pb2.StartAuthorizationResponse:
        """Return a link to TikTok's page that any browser may use, once."""
        return await self.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=PROVIDER,
                owner=user_of(user_id),
                binding=token_pb2.LINK_BINDING_NONE,
                redirect_uri=redirect_uri,
            )
        )

    async def complete(self, user_id: str, code: str, state: str) -> None:
        """Connect the account by what TikTok sent back; the state must be this user's."""
        await self.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=state, code=code, expected=owner_connection(PROVIDER, user_id))
        )

    async def disconnect(self, user_id: str) -> None:
        """End the account's connection at once."""
        await self.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference(PROVIDER, user_id)))
