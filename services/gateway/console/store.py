"""A store's page: how it is connected, its figures, its videos, its logs; and what can be done about it."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated
from uuid import uuid4

import segno
from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator
from starlette.responses import HTMLResponse, RedirectResponse, Response
from tokhub.sync.v1 import report_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from libs.clock import Clock
from libs.standing import by_store, connection_status
from services.gateway.backends import Backends
from services.gateway.console.charts import of_account, of_totals
from services.gateway.console.days import period, today
from services.gateway.console.pages import ConsolePages
from services.gateway.console.sections import section
from services.gateway.console.stores import SEE_OTHER, STORES
from services.gateway.parameters import StoreInPath
from services.gateway.rules import whole_number
from services.gateway.shapes.connections import event
from services.gateway.shapes.runs import outcome_word
from services.gateway.store_accounts import connections_of, operators_link

VIDEOS, LOGS, EVENTS = 10, 15, 15
SPANS = (7, 30, 90, 365)  # days
DONE: Mapping[str, str] = MappingProxyType(
    {
        "added": "The store was added. Connect its TikTok account with a link.",
        "disconnected": "The store's account was disconnected. What was synced stays.",
    }
)

Days = Annotated[int, BeforeValidator(whole_number), Query(ge=1, le=365)]


class StorePages:
    """Shows a store, gives out links to connect it, and disconnects it."""

    def __init__(self, *, backends: Backends, pages: ConsolePages, clock: Clock) -> None:
        self._backends = backends
        self._pages = pages
        self._clock = clock

    def add_to(self, router: APIRouter) -> None:
        """Declare the pages."""
        store = f"{STORES}/{{store_code}}"
        router.add_api_route(store, self.show, include_in_schema=False)
        router.add_api_route(f"{store}/connect-link", self.link, methods=["POST"], include_in_schema=False)
        router.add_api_route(f"{store}/disconnect", self.disconnect, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request, store_code: StoreInPath, days: Days = 30, done: str = "") -> HTMLResponse:
        """Answer with the store's page."""
        found, connections = await asyncio.gather(
            self._backends.stores.GetStore(sync_pb2.GetStoreRequest(store_code=store_code)),
            section(connections_of(self._backends, [store_code])),
        )
        connection = by_store(connections.value or []).get(store_code)
        accounts, totals, videos, logs, explained = await asyncio.gather(
            section(self._accounts(store_code, days)),
            section(self._totals(store_code, days)),
            section(self._videos(store_code)),
            section(self._logs(store_code)),
            section(self._explained(connection)),
        )
        return self._pages.page(
            request,
            "store.html",
            store=found.store,
            connections=connections,
            connection=connection,
            standing=connection_status(connection),
            accounts=accounts,
            totals=totals,
            videos=videos,
            logs=logs,
            explained=explained,
            days=days,
            spans=SPANS,
            notice=DONE.get(done, ""),
            once=uuid4().hex,
            of_account=of_account,
            of_totals=of_totals,
            outcome_word=outcome_word,
            event=event,
        )

    async def link(self, request: Request, store_code: StoreInPath) -> HTMLResponse:
        """Answer with a new link that connects the store."""
        link = await operators_link(self._backends, store_code)
        return self._pages.page(
            request,
            "store_link.html",
            store_code=store_code,
            url=link.authorize_url,
            expire_time=link.expire_time,
            picture=segno.make(link.authorize_url, error="l", micro=False).svg_data_uri(light="#fff", border=3),
        )

    async def disconnect(self, store_code: StoreInPath) -> Response:
        """Disconnect the store's account and go back to its page."""
        owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=store_code)
        named = token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_LOGIN_KIT, owner=owner)
        reference = token_pb2.ConnectionReference(owner_connection=named)
        await self._backends.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference))
        return RedirectResponse(f"{STORES}/{store_code}?done=disconnected", SEE_OTHER)

    async def _accounts(self, store_code: str, days: int) -> list[sync_pb2.UserStats]:
        request = sync_pb2.ListUserStatsRequest(store_code=store_code, days=days)
        return list((await self._backends.stats.ListUserStats(request)).stats)

    async def _totals(self, store_code: str, days: int) -> list[report_pb2.DailyTotals]:
        over = period(await today(self._backends, self._clock), days)
        request = report_pb2.ListDailyTotalsRequest(store_code=store_code, period=over)
        return list((await self._backends.reports.ListDailyTotals(request)).totals)

    async def _videos(self, store_code: str) -> list[report_pb2.TopVideo]:
        request = report_pb2.ListTopVideosRequest(store_code=store_code, limit=VIDEOS)
        return list((await self._backends.reports.ListTopVideos(request)).videos)

    async def _logs(self, store_code: str) -> list[sync_pb2.SyncLog]:
        request = sync_pb2.ListSyncLogsRequest(store_code=store_code, limit=LOGS)
        return list((await self._backends.sync.ListSyncLogs(request)).logs)

    async def _explained(self, connection: token_pb2.Connection | None) -> token_pb2.ExplainConnectionResponse | None:
        if connection is None:
            return None
        reference = token_pb2.ConnectionReference(connection_id=connection.id)
        request = token_pb2.ExplainConnectionRequest(connection=reference, page_size=EVENTS)
        return await self._backends.connections.ExplainConnection(request)
