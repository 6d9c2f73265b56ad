"""ConnectionService: how an owner comes to have a TikTok account, and how it stands."""

from dataclasses import dataclass

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import InvalidField
from libs.rpc.identity import Context
from libs.rpc.times import timestamp
from services.token.core.authorization import Authorization, Redirect
from services.token.core.connections import Filter
from services.token.core.directory import Directory
from services.token.core.disconnection import Disconnection
from services.token.core.explain import Explainer
from services.token.core.forecast import Forecaster
from services.token.core.importing import Importing
from services.token.core.provider_events import ProviderEvents
from services.token.core.state import Terms
from services.token.domain.connection import ByOwner
from services.token.domain.provider_event import EventOutcome
from services.token.servicers.explaining import explanation_message, forecast_message
from services.token.servicers.translate import (
    IMPORT_OUTCOME_VALUES,
    OWNER_KINDS,
    PROVIDERS,
    PURPOSES,
    REVOCATION_VALUES,
    STATUSES,
    by_owner,
    connection_message,
    import_entry,
    owner_of,
    reference_of,
)

DEFAULT_TEAM = 1


OUTCOMES = {
    EventOutcome.APPLIED: token_pb2.EVENT_OUTCOME_APPLIED,
    EventOutcome.REPEATED: token_pb2.EVENT_OUTCOME_REPEATED,
    EventOutcome.IGNORED: token_pb2.EVENT_OUTCOME_IGNORED,
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the service calls."""

    authorization: Authorization
    disconnection: Disconnection
    importing: Importing
    directory: Directory
    explainer: Explainer
    forecaster: Forecaster
    events: ProviderEvents


class ConnectionServicer(token_pb2_grpc.ConnectionServiceServicer):
    """Translates and nothing else."""

    def __init__(self, parts: Parts) -> None:
        self._authorization = parts.authorization
        self._disconnection = parts.disconnection
        self._importing = parts.importing
        self._directory = parts.directory
        self._explainer = parts.explainer
        self._forecaster = parts.forecaster
        self._events = parts.events

    async def StartAuthorization(
        self, request: token_pb2.StartAuthorizationRequest, context: Context
    ) -> token_pb2.StartAuthorizationResponse:
        """Return a consent link."""
        target = ByOwner(provider=PROVIDERS[request.provider], owner=owner_of(request.owner))
        team_id = request.team_id if request.HasField("team_id") else DEFAULT_TEAM
        bind = request.binding == token_pb2.LINK_BINDING_BROWSER
        terms = Terms(
            purpose=PURPOSES[request.purpose],
            lifetime=request.ttl.ToTimedelta() if request.HasField("ttl") else None,
            redirect_uri=request.redirect_uri,
        )
        invitation = await self._authorization.start(target, team_id, bind=bind, terms=terms)
        return token_pb2.StartAuthorizationResponse(
            authorize_url=invitation.url,
            state=invitation.state,
            browser_nonce=invitation.nonce,
            expire_time=timestamp(invitation.link.expires_at),
        )

    async def CompleteAuthorization(
        self, request: token_pb2.CompleteAuthorizationRequest, context: Context
    ) -> token_pb2.CompleteAuthorizationResponse:
        """Take a redirect."""
        redirect = Redirect(
            state=request.state,
            code=request.code,
            error=request.error,
            nonce=request.browser_nonce,
            shop_id=request.shop_id,
            expected=by_owner(request.expected) if request.HasField("expected") else None,
        )
        connection = await self._authorization.complete(redirect)
        return token_pb2.CompleteAuthorizationResponse(connection=connection_message(connection))

    async def Disconnect(self, request: token_pb2.DisconnectRequest, context: Context) -> token_pb2.DisconnectResponse:
        """End a connection."""
        connection, revocation = await self._disconnection.disconnect(reference_of(request.connection))
        return token_pb2.DisconnectResponse(
            connection=connection_message(connection), revocation=REVOCATION_VALUES[revocation]
        )

    async def ImportConnections(
        self, request: token_pb2.ImportConnectionsRequest, context: Context
    ) -> token_pb2.ImportConnectionsResponse:
        """Take tokens from elsewhere."""
        results = await self._importing.take([import_entry(entry) for entry in request.entries])
        return token_pb2.ImportConnectionsResponse(
            results=[
                token_pb2.ImportResult(
                    outcome=IMPORT_OUTCOME_VALUES[result.outcome],
                    connection_id=str(result.connection_id or ""),
                    message=result.message,
                )
                for result in results
            ]
        )

    async def GetConnection(
        self, request: token_pb2.GetConnectionRequest, context: Context
    ) -> token_pb2.GetConnectionResponse:
        """Return one connection."""
        connection = await self._directory.get(reference_of(request.connection))
        return token_pb2.GetConnectionResponse(connection=connection_message(connection))

    async def ListConnections(
        self, request: token_pb2.ListConnectionsRequest, context: Context
    ) -> token_pb2.ListConnectionsResponse:
        """Return a page of connections."""
        chosen = Filter(
            owner_kind=OWNER_KINDS.get(request.owner_kind),
            owner_ids=tuple(request.owner_ids),
            statuses=tuple(STATUSES[status] for status in request.statuses),
        )
        found, following = await self._directory.page(page_start(request.page_token), request.page_size, chosen)
        return token_pb2.ListConnectionsResponse(
            connections=[connection_message(connection) for connection in found],
            next_page_token="" if following is None else str(following),
        )

    async def ExplainConnection(
        self, request: token_pb2.ExplainConnectionRequest, context: Context
    ) -> token_pb2.ExplainConnectionResponse:
        """Say how a connection stands and why."""
        before = page_start(request.page_token) or None
        explanation = await self._explainer.explain(reference_of(request.connection), before, request.page_size)
        return explanation_message(explanation)

    async def GetRefreshForecast(
        self, request: token_pb2.GetRefreshForecastRequest, context: Context
    ) -> token_pb2.GetRefreshForecastResponse:
        """Say what is to be expected."""
        team_id = request.team_id if request.HasField("team_id") else None
        return forecast_message(await self._forecaster.forecast(PROVIDERS.get(request.provider), team_id))

    async def HandleProviderEvent(
        self, request: token_pb2.HandleProviderEventRequest, context: Context
    ) -> token_pb2.HandleProviderEventResponse:
        """Act upon a webhook."""
        outcome = await self._events.handle(PROVIDERS[request.provider], request.body, request.signature)
        return token_pb2.HandleProviderEventResponse(outcome=OUTCOMES[outcome])


def page_start(page_token: str) -> int:
    """Return the number a page begins after."""
    if not page_token:
        return 0
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
        raise InvalidField("page_token", "is not one of this list: use next_page_token of the page before")
    return int(page_token)
