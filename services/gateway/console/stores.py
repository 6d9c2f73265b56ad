"""The list of stores, and adding one."""

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator
from starlette.responses import HTMLResponse, RedirectResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.errors import InvalidField, StoreExists
from libs.standing import by_store
from services.gateway.backends import Backends
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.errors import STATUSES
from services.gateway.parameters import PageToken
from services.gateway.routes.stores import NewStore
from services.gateway.rules import storable
from services.gateway.shapes.stores import store_detail
from services.gateway.store_accounts import connections_of

STORES = f"{CONSOLE}/stores"
NEW_STORE = f"{CONSOLE}/new-store"
PAGE = 50
SEE_OTHER = 303
STATUSES_SHOWN = ("CONNECTED", "NEED_RECONNECT", "NOT_CONNECTED", "DISCONNECTED")

Search: TypeAlias = Annotated[str, AfterValidator(storable), Query(max_length=100)]
Status: TypeAlias = Literal["", "CONNECTED", "NEED_RECONNECT", "NOT_CONNECTED", "DISCONNECTED"]


class StoreListPages:
    """Shows stores, and takes new ones."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._backends = backends
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the pages."""
        router.add_api_route(STORES, self.show, include_in_schema=False)
        router.add_api_route(STORES, self.add, methods=["POST"], include_in_schema=False)
        # Not below the list, where its name would be a store's code.
        router.add_api_route(NEW_STORE, self.new, include_in_schema=False)

    async def show(
        self, request: Request, search: Search = "", status: Status = "", page_token: PageToken = ""
    ) -> HTMLResponse:
        """Answer with a page of the stores that were searched for."""
        asked = sync_pb2.ListStoresRequest(
            page_size=PAGE,
            page_token=page_token,
            search=search.strip(),
            status=sync_pb2.StoreStatus.Value(f"STORE_STATUS_{status or 'UNSPECIFIED'}"),
        )
        page = await self._backends.stores.ListStores(asked)
        connections = by_store(await connections_of(self._backends, [store.store_code for store in page.stores]))
        return self._pages.page(
            request,
            "stores.html",
            stores=[store_detail(store, connections.get(store.store_code)) for store in page.stores],
            statuses=STATUSES_SHOWN,
            search=search,
            standing=status,
            is_first=not page_token,
            next_page_token=page.next_page_token,
        )

    async def new(self, request: Request) -> HTMLResponse:
        """Answer with the form for a new store."""
        return self._pages.page(request, "store_new.html", here=STORES, entered={}, problem="")

    async def add(self, request: Request) -> Response:
        """Create a store and go to its page, or show what is wrong with what was entered."""
        entered = await fields_of(request)
        try:
            new = read_form(NewStore, {name: value for name, value in entered.items() if value})
            created = await self._backends.stores.CreateStore(sync_pb2.CreateStoreRequest(**new.model_dump()))
        except (InvalidField, StoreExists) as error:
            status = STATUSES[error.reason]
            return self._pages.page(request, "store_new.html", status, entered=entered, problem=problem(error))
        return RedirectResponse(f"{STORES}/{created.store.store_code}?done=added", SEE_OTHER)
