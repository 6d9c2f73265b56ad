"""Connections for operators: /admin/connections and /admin/forecast."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from tokhub.token.v1 import token_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DEFAULT_LIMIT, ConnectionInPath, Limit, PageToken
from services.gateway.routes.answers import one, page
from services.gateway.shapes.connections import connection, explanation, forecast


class ConnectionRoutes:
    """Shows every connection, how it stands and why, and what is to come; never a token."""

    def __init__(self, *, backends: Backends) -> None:
        self._connections = backends.connections

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        connections = "/admin/connections"
        router.add_api_route(connections, self.list_connections, summary="List connections", tags=["connections"])
        router.add_api_route(
            f"{connections}/{{connection_id}}", self.explain, summary="How a connection stands", tags=["connections"]
        )
        router.add_api_route(
            "/admin/forecast", self.forecast, summary="Refreshes and consents to come", tags=["connections"]
        )

    async def list_connections(self, limit: Limit = DEFAULT_LIMIT, page_token: PageToken = "") -> JSONResponse:
        """Answer with a page of connections by number; nextPageToken asks for the next, and is null on the last."""
        request = token_pb2.ListConnectionsRequest(page_size=limit, page_token=page_token)
        answer = await self._connections.ListConnections(request)
        return page([connection(each) for each in answer.connections], answer.next_page_token)

    async def explain(self, connection_id: ConnectionInPath) -> JSONResponse:
        """Answer with how a connection stands, what is next, and the newest of what has happened."""
        reference = token_pb2.ConnectionReference(connection_id=str(connection_id))
        request = token_pb2.ExplainConnectionRequest(connection=reference)
        return one(explanation(await self._connections.ExplainConnection(request)))

    async def forecast(self) -> JSONResponse:
        """Answer with when tokens and consents end, and how many refreshes that asks for."""
        return one(forecast(await self._connections.GetRefreshForecast(token_pb2.GetRefreshForecastRequest())))
