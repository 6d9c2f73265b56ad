"""TokenService: access tokens for internal services."""

from collections.abc import AsyncIterator
from datetime import timedelta

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.rpc.interceptor import Context
from services.token.core.refresh_all import RefreshAll
from services.token.core.tokens import Tokens
from services.token.servicers.refreshing import news_message, scope_of
from services.token.servicers.translate import (
    PROVIDER_VALUES,
    connection_message,
    reference_of,
    shop_message,
    timestamp,
)

DEFAULT_MIN_TTL = timedelta(seconds=60)


class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """Translates and nothing else."""

    def __init__(self, *, tokens: Tokens, refresh_all: RefreshAll) -> None:
        self._tokens = tokens
        self._refresh_all = refresh_all

    async def GetValidToken(
        self, request: token_pb2.GetValidTokenRequest, context: Context
    ) -> token_pb2.GetValidTokenResponse:
        """Return an access token that works."""
        min_ttl = request.min_ttl.ToTimedelta() if request.HasField("min_ttl") else DEFAULT_MIN_TTL
        rejected = request.rejected_generation if request.HasField("rejected_generation") else None
        valid = await self._tokens.get_valid(reference_of(request.connection), min_ttl, rejected)
        connection = valid.connection
        return token_pb2.GetValidTokenResponse(
            access_token=valid.access_token.reveal(),
            token_type="Bearer",
            expire_time=timestamp(connection.access_expires_at),
            generation=connection.version.generation,
            freshness=token_pb2.FRESHNESS_FRESH if valid.fresh else token_pb2.FRESHNESS_STALE_BUT_VALID,
            provider=PROVIDER_VALUES[connection.provider],
            account_id=connection.account_id,
            scopes=connection.scopes,
            connection_id=str(connection.id),
            shops=[shop_message(shop) for shop in connection.shops],
        )

    async def RefreshToken(
        self, request: token_pb2.RefreshTokenRequest, context: Context
    ) -> token_pb2.RefreshTokenResponse:
        """Refresh now, or when due."""
        reference = reference_of(request.connection)
        if request.rule == token_pb2.REFRESH_RULE_WHEN_DUE:
            connection, refreshed = await self._tokens.refresh_when_due(reference, request.request_id)
        else:
            connection, refreshed = await self._tokens.refresh(reference, request.request_id), True
        return token_pb2.RefreshTokenResponse(connection=connection_message(connection), refreshed=refreshed)

    async def RefreshAll(
        self, request: token_pb2.RefreshAllRequest, context: Context
    ) -> AsyncIterator[token_pb2.RefreshAllResponse]:
        """Refresh all connections that are due."""
        scope = scope_of(request)
        stream = self._refresh_all.rehearse(scope) if request.dry_run else self._refresh_all.run(scope)
        async for news in stream:
            yield news_message(news)
