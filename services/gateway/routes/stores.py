"""Stores and their accounts: /admin/stores and below."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import AfterValidator, Field
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.standing import by_store
from services.gateway.backends import Backends
from services.gateway.bodies import Body, documented, json_body
from services.gateway.parameters import DEFAULT_LIMIT, Limit, PageToken, StoreInPath
from services.gateway.routes.answers import many, one, page
from services.gateway.rules import RULES, STORE_CODE, storable
from services.gateway.shapes.stores import account, store_detail, store_entry
from services.gateway.shapes.times import stamp_text
from services.gateway.store_accounts import connections_of, operators_link

# A store with the longest texts is 6 KiB: this many stay below gRPC's 4 MiB.
PAGE = 500

Name = Annotated[str, AfterValidator(storable), Field(min_length=1, max_length=255)]
Contact = Annotated[str, AfterValidator(storable), Field(max_length=1000)]


class NewStore(Body):
    """A store to create."""

    store_code: str = Field(pattern=STORE_CODE, description=RULES["store_code"], examples=["store_jakarta_01"])
    store_name: Name = Field(description=RULES["store_name"], examples=["Store Jakarta Pusat"])
    pic_name: Name = Field(description=RULES["pic_name"], examples=["John Doe"])
    pic_contact: Contact | None = Field(None, description=RULES["pic_contact"], examples=["john@example.com"])


class ChangedStore(Body):
    """What to change about a store; what is left out stays, and a contact of null is removed."""

    store_name: Name = Field("", description=RULES["store_name"], examples=["Store Jakarta Pusat"])
    pic_name: Name = Field("", description=RULES["pic_name"], examples=["John Doe"])
    pic_contact: Contact | None = Field(None, description=RULES["pic_contact"], examples=["john@example.com"])


class StoreRoutes:
    """Joins what the sync service knows of stores with what the token service knows of their connections."""

    def __init__(self, *, backends: Backends) -> None:
        self._backends = backends

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        body = documented(NewStore, required=True)
        router.add_api_route("/admin/stores", self.list_stores, summary="List all stores", tags=["stores"])
        router.add_api_route(
            "/admin/stores",
            self.create_store,
            methods=["POST"],
            status_code=201,
            summary="Create a store",
            tags=["stores"],
            openapi_extra=body,
        )
        self._add_for_one(router, "/admin/stores/{store_code}")

    def _add_for_one(self, router: APIRouter, store: str) -> None:
        router.add_api_route(store, self.get_store, summary="Get a store", tags=["stores"])
        router.add_api_route(
            store,
            self.change_store,
            methods=["PATCH"],
            summary="Change a store",
            tags=["stores"],
            openapi_extra=documented(ChangedStore, required=True),
        )
        router.add_api_route(
            store,
            self.delete_store,
            methods=["DELETE"],
            status_code=204,
            summary="Disconnect and archive a store",
            tags=["stores"],
        )
        router.add_api_route(
            f"{store}/accounts", self.list_accounts, summary="List a store's accounts", tags=["stores"]
        )
        router.add_api_route(
            f"{store}/connect-link",
            self.connect_link,
            methods=["POST"],
            summary="A link that may replace a store's account",
            tags=["stores"],
        )

    async def list_stores(self, limit: Limit | None = None, page_token: PageToken = "") -> JSONResponse:
        """Answer with every store, its connection and its newest statistics.

        With a limit or a page_token: with a page of them by code; nextPageToken asks for the next, and is null on the
        last. A limit left out is then 50.
        """
        if limit or page_token:
            return page(*await self._page(limit or DEFAULT_LIMIT, page_token))
        data, page_token = await self._page(PAGE)
        while page_token:
            more, page_token = await self._page(PAGE, page_token)
            data += more
        return many(data)

    async def _page(self, size: int, page_token: str = "") -> tuple[list[dict[str, Any]], str]:
        """Return stores as they are told, and what asks for the next of them."""
        request = sync_pb2.ListStoresRequest(page_size=size, page_token=page_token)
        found = await self._backends.stores.ListStores(request)
        connections = by_store(await connections_of(self._backends, [store.store_code for store in found.stores]))
        told = [store_detail(store, connections.get(store.store_code)) for store in found.stores]
        return told, found.next_page_token

    async def create_store(self, new: Annotated[NewStore, Depends(json_body(NewStore))]) -> JSONResponse:
        """Answer 201 with the new store and what to do next."""
        request = sync_pb2.CreateStoreRequest(**new.model_dump())
        created = await self._backends.stores.CreateStore(request)
        code = created.store.store_code
        body = {
            "success": True,
            "data": store_entry(created.store),
            "message": "Store created successfully",
            "next_step": f"Connect TikTok account at: GET /connect/tiktok?store_code={code}",
        }
        return JSONResponse(body, 201, {"Location": f"/admin/stores/{code}"})

    async def get_store(self, store_code: StoreInPath) -> JSONResponse:
        """Answer with one store, its connection and its newest statistics."""
        store, connections = await self._store_and_connections(store_code)
        return one(store_detail(store, by_store(connections).get(store_code)))

    async def change_store(
        self, store_code: StoreInPath, changed: Annotated[ChangedStore, Depends(json_body(ChangedStore))]
    ) -> JSONResponse:
        """Answer like GET, with what was changed."""
        values = changed.model_dump(exclude_unset=True)
        request = sync_pb2.UpdateStoreRequest(
            store_code=store_code, update_mask=FieldMask(paths=sorted(values)), **values
        )
        await self._backends.stores.UpdateStore(request)
        return await self.get_store(store_code)

    async def delete_store(self, store_code: StoreInPath) -> Response:
        """Answer 204 once the store's accounts are disconnected and the store is gone."""
        await self._backends.stores.DeleteStore(sync_pb2.DeleteStoreRequest(store_code=store_code))
        return Response(status_code=204)

    async def connect_link(self, store_code: StoreInPath) -> JSONResponse:
        """Answer with an address for any browser, once; it may also put another account in the place of a live one."""
        link = await operators_link(self._backends, store_code)
        return one({"url": link.authorize_url, "expiresAt": stamp_text(link.expire_time)})

    async def list_accounts(self, store_code: StoreInPath) -> JSONResponse:
        """Answer with the accounts that were ever connected to a store and are still on its row."""
        store, connections = await self._store_and_connections(store_code)
        return many([account(connection, store) for connection in connections])

    async def _store_and_connections(self, code: str) -> tuple[sync_pb2.Store, list[token_pb2.Connection]]:
        found, connections = await asyncio.gather(
            self._backends.stores.GetStore(sync_pb2.GetStoreRequest(store_code=code)),
            connections_of(self._backends, [code]),
        )
        return found.store, connections
