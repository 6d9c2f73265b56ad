"""ConnectionService behind the gateway, from memory: links, callbacks and rows."""

import uuid
from datetime import timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import (
    ConnectionNotFound,
    StateInvalid,
    StateReused,
)
from tests.gateway.scripted import NEW_YEAR, Scripted

AUTHORIZE = "https://tiktok.example/v2/auth/authorize/"


class FakeConnections(token_pb2_grpc.ConnectionServiceServicer):
    def __init__(self) -> None:
        self.script = Scripted()
        self.rows: list[token_pb2.Connection] = []
        self.links: dict[str, tuple[token_pb2.StartAuthorizationRequest, str]] = {}
        self.used: set[str] = set()
        self.completions: list[token_pb2.CompleteAuthorizationRequest] = []
        self.explanation = token_pb2.ExplainConnectionResponse()
        self.forecast = token_pb2.GetRefreshForecastResponse()
        self.events: list[token_pb2.HandleProviderEventRequest] = []

    def connect(self, code: str, number: int, **values: Any) -> token_pb2.Connection:
        entry: dict[str, Any] = {
            "provider": token_pb2.PROVIDER_LOGIN_KIT,
            "account_id": f"open_{code}",
            "status": token_pb2.CONNECTION_STATUS_ACTIVE,
            "connect_time": NEW_YEAR + timedelta(days=1, hours=10),
            "update_time": NEW_YEAR + timedelta(days=23, hours=2),
            "access_expire_time": NEW_YEAR + timedelta(days=24, hours=10),
            "hours_left": 1.5,
        }
        entry["owner"] = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code)
        connection = token_pb2.Connection(id=str(uuid.uuid4()), number=number, **(entry | values))
        self.rows.append(connection)
        return connection

    async def StartAuthorization(
        self, request: token_pb2.StartAuthorizationRequest, _context: Any
    ) -> token_pb2.StartAuthorizationResponse:
        self.script.begin()
        state = f"CNRYstate{uuid.uuid4().hex}"
        nonce = uuid.uuid4().hex if request.binding == token_pb2.LINK_BINDING_BROWSER else ""
        self.links[state] = (request, nonce)
        return token_pb2.StartAuthorizationResponse(
            authorize_url=f"{AUTHORIZE}?client_key=k&state={state}",
            state=state,
            browser_nonce=nonce,
            expire_time=Timestamp(seconds=int(NEW_YEAR.timestamp()) + request.ttl.seconds),
        )

    async def CompleteAuthorization(
        self, request: token_pb2.CompleteAuthorizationRequest, _context: Any
    ) -> token_pb2.CompleteAuthorizationResponse:
        self.completions.append(request)
        self.script.begin()
        if request.state not in self.links:
            raise StateInvalid
        link, nonce = self.links[request.state]
        if nonce and nonce != request.browser_nonce:
            raise StateInvalid
        made_for = token_pb2.OwnerConnection(provider=link.provider, owner=link.owner)
        if request.HasField("expected") and request.expected != made_for:
            raise StateInvalid
        if request.state in self.used:
            raise StateReused
        self.used.add(request.state)
        made = self.connect(link.owner.id, len(self.rows) + 1, provider=link.provider, owner=link.owner)
        return token_pb2.CompleteAuthorizationResponse(connection=made)

    async def HandleProviderEvent(
        self, request: token_pb2.HandleProviderEventRequest, _context: Any
    ) -> token_pb2.HandleProviderEventResponse:
        self.events.append(request)
        self.script.begin()
        return token_pb2.HandleProviderEventResponse(outcome=token_pb2.EVENT_OUTCOME_APPLIED)

    async def GetConnection(
        self, request: token_pb2.GetConnectionRequest, _context: Any
    ) -> token_pb2.GetConnectionResponse:
        self.script.begin()
        return token_pb2.GetConnectionResponse(connection=self.find(request.connection))

    async def Disconnect(self, request: token_pb2.DisconnectRequest, _context: Any) -> token_pb2.DisconnectResponse:
        found = self.find(request.connection)
        found.status = token_pb2.CONNECTION_STATUS_DISCONNECTED
        return token_pb2.DisconnectResponse(connection=found)

    def find(self, reference: token_pb2.ConnectionReference) -> token_pb2.Connection:
        """Return the newest connection of an owner."""
        wanted = reference.owner_connection
        for row in reversed(self.rows):
            if row.id == reference.connection_id:
                return row
            if (row.provider, row.owner) == (wanted.provider, wanted.owner):
                return row
        raise ConnectionNotFound

    async def ListConnections(
        self, request: token_pb2.ListConnectionsRequest, _context: Any
    ) -> token_pb2.ListConnectionsResponse:
        mine = [
            one
            for one in self.rows
            if request.owner_kind in (0, one.owner.kind)
            and (not request.owner_ids or one.owner.id in request.owner_ids)
        ]
        begin = int(request.page_token or 0)
        end = begin + (request.page_size or 100)
        more = str(end) if end < len(mine) else ""
        return token_pb2.ListConnectionsResponse(connections=mine[begin:end], next_page_token=more)

    async def ExplainConnection(
        self, request: token_pb2.ExplainConnectionRequest, _context: Any
    ) -> token_pb2.ExplainConnectionResponse:
        self.find(request.connection)
        return self.explanation

    async def GetRefreshForecast(
        self, _request: token_pb2.GetRefreshForecastRequest, _context: Any
    ) -> token_pb2.GetRefreshForecastResponse:
        return self.forecast
