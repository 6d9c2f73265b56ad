"""The token service over gRPC: who is connected, and tokens that work."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import grpc
from google.protobuf.duration_pb2 import Duration
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import ConnectionNotFound, DeadlineExceeded, TokhubError
from libs.rpc.status import from_status
from libs.secret import Secret
from services.sync.adapters.together import Together
from services.sync.domain.connections import Connection, Standing
from services.sync.domain.subjects import Subject, SubjectKind
from services.sync.domain.tokens import AccessToken

PAGE = 1_000
# Longer than the longest wait for a slot of the budget plus the call itself.
MIN_TTL = Duration(seconds=120)
# What is at hand is answered at once; a token that has to be refreshed first keeps its neighbours no longer.
AT_HAND = 1.0  # seconds

KINDS = {
    SubjectKind.STORE: token_pb2.OWNER_KIND_STORE,
    SubjectKind.USER: token_pb2.OWNER_KIND_USER,
}
STANDINGS = {
    token_pb2.CONNECTION_STATUS_ACTIVE: Standing.USABLE,
    token_pb2.CONNECTION_STATUS_SUSPECT: Standing.USABLE,
    token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED: Standing.NEEDS_RECONNECT,
    token_pb2.CONNECTION_STATUS_DISCONNECTED: Standing.DISCONNECTED,
}


def reference_to(subject: Subject) -> token_pb2.ConnectionReference:
    """Return how the token service is told whose connection is meant."""
    return token_pb2.ConnectionReference(
        owner_connection=token_pb2.OwnerConnection(
            provider=token_pb2.PROVIDER_LOGIN_KIT,
            owner=token_pb2.Owner(kind=KINDS[subject.kind], id=subject.id),
        )
    )


class TokenClient:
    """Asks for tokens; errors come as the token service raised them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = token_pb2_grpc.TokenServiceStub(channel)
        self._at_hand: Together[Subject, AccessToken | None] = Together(self._get_at_hand, most=PAGE)

    async def valid(self, subject: Subject) -> AccessToken:
        """Return a token that works now."""
        return await self._at_hand.call(subject) or await self._get(request_for(subject))

    async def replacing(self, subject: Subject, generation: int) -> AccessToken:
        """Return another token than the one TikTok rejected."""
        request = request_for(subject)
        request.rejected_generation = generation
        return await self._get(request)

    async def refresh_when_due(self, subject: Subject, request_id: str) -> bool:
        """Return whether a token was refreshed; the same request_id never refreshes twice."""
        answer = await self._stub.RefreshToken(
            token_pb2.RefreshTokenRequest(
                connection=reference_to(subject), request_id=request_id, rule=token_pb2.REFRESH_RULE_WHEN_DUE
            )
        )
        return answer.refreshed

    async def _get(self, request: token_pb2.GetValidTokenRequest) -> AccessToken:
        return to_token(await self._stub.GetValidToken(request))

    async def _get_at_hand(self, subjects: Sequence[Subject]) -> Sequence[AccessToken | TokhubError | None]:
        """Return a token or an error for each, None for those that take longer."""
        request = token_pb2.BatchGetValidTokensRequest(requests=map(request_for, subjects))
        try:
            answer = await self._stub.BatchGetValidTokens(request, timeout=AT_HAND)
        except DeadlineExceeded:
            return [None] * len(subjects)
        return [outcome_of(result) for result in answer.results]


def to_connection(subject: Subject, row: token_pb2.Connection) -> Connection:
    """Return how a subject's connection stands; one that is in doubt has its token looked at, due or not."""
    return Connection(
        subject,
        STANDINGS.get(row.status, Standing.NEEDS_RECONNECT),
        row.account_id,
        refresh_is_due=row.needs_refresh or row.status != token_pb2.CONNECTION_STATUS_ACTIVE,
    )


def request_for(subject: Subject) -> token_pb2.GetValidTokenRequest:
    """Return the request for a subject's token."""
    return token_pb2.GetValidTokenRequest(connection=reference_to(subject), min_ttl=MIN_TTL)


def to_token(answer: token_pb2.GetValidTokenResponse) -> AccessToken:
    """Return the token in an answer."""
    return AccessToken(Secret(answer.access_token), answer.generation, frozenset(answer.scopes))


def outcome_of(result: token_pb2.TokenResult) -> AccessToken | TokhubError | None:
    """Return a token, why there is none, or None when that is not known yet."""
    if result.HasField("token"):
        return to_token(result.token)
    error = from_status(result.status)
    return None if isinstance(error, DeadlineExceeded) else error


class ConnectionClient:
    """Asks which subjects are connected, and ends connections."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = token_pb2_grpc.ConnectionServiceStub(channel)

    async def of_stores(self) -> AsyncIterator[tuple[Connection, ...]]:
        """Yield the Login Kit connections of all stores, page by page."""
        request = token_pb2.ListConnectionsRequest(page_size=PAGE, owner_kind=token_pb2.OWNER_KIND_STORE)
        while True:
            answer = await self._stub.ListConnections(request)
            yield tuple(
                to_connection(Subject.store(row.owner.id), row)
                for row in answer.connections
                if row.provider == token_pb2.PROVIDER_LOGIN_KIT
            )
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def of(self, subject: Subject) -> Connection:
        """Return one subject's connection; ConnectionNotFound when there never was one."""
        answer = await self._stub.GetConnection(token_pb2.GetConnectionRequest(connection=reference_to(subject)))
        if not answer.HasField("connection"):
            raise ConnectionNotFound
        return to_connection(subject, answer.connection)

    async def disconnect_all(self, subject: Subject) -> None:
        """End every connection of the subject, and the links that would make one, whatever their provider."""
        owner = token_pb2.Owner(kind=KINDS[subject.kind], id=subject.id)
        for provider in (token_pb2.PROVIDER_LOGIN_KIT, token_pb2.PROVIDER_TIKTOK_SHOP):
            named = token_pb2.OwnerConnection(provider=provider, owner=owner)
            reference = token_pb2.ConnectionReference(owner_connection=named)
            with suppress(ConnectionNotFound):
                await self._stub.Disconnect(token_pb2.DisconnectRequest(connection=reference))
