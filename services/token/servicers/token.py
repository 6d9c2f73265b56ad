"""TokenService: access tokens for internal services."""

from collections.abc import AsyncIterator

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.rpc.identity import Context
from libs.rpc.interceptor import DEFAULT_TIMEOUT
from services.token.core.batch import BatchTokens
from services.token.core.refresh_all import RefreshAll
from services.token.core.tokens import TokensPort
from services.token.core.watch_tokens import TokenWatch
from services.token.servicers.batching import Drafts, item_message, need_of, token_message, want_of
from services.token.servicers.refreshing import news_message, scope_of
from services.token.servicers.translate import connection_message, reference_of
from services.token.servicers.watching import chosen_of, watch_message

ANSWER_MARGIN = 0.5  # seconds of a deadline that are kept for sending a batch


class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """Translates and nothing else."""

    def __init__(self, *, tokens: TokensPort, batch: BatchTokens, refresh_all: RefreshAll, watch: TokenWatch) -> None:
        self._tokens = tokens
        self._batch = batch
        self._refresh_all = refresh_all
        self._watch = watch
        self._drafts = Drafts()

    async def GetValidToken(
        self, request: token_pb2.GetValidTokenRequest, context: Context
    ) -> token_pb2.GetValidTokenResponse:
        """Return an access token that works."""
        valid = await self._tokens.get_valid(reference_of(request.connection), need_of(request))
        return token_message(valid, self._drafts.of(valid.connection))

    async def BatchGetValidTokens(
        self, request: token_pb2.BatchGetValidTokensRequest, context: Context
    ) -> token_pb2.BatchGetValidTokensResponse:
        """Return many access tokens."""
        within = max((context.time_remaining() or DEFAULT_TIMEOUT) - ANSWER_MARGIN, 0)
        answers = await self._batch.get([want_of(item) for item in request.requests], within)
        return token_pb2.BatchGetValidTokensResponse(results=[item_message(answer) for answer in answers])

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

    async def WatchTokens(
        self, request: token_pb2.WatchTokensRequest, context: Context
    ) -> AsyncIterator[token_pb2.WatchTokensResponse]:
        """Tell what happens to connections."""
        after = request.after_event_id if request.HasField("after_event_id") else None
        async for news in self._watch.watch(chosen_of(request.filter), after):
            yield watch_message(news)
