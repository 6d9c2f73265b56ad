"""Control routes that do what people do on pages: grant, in bulk too, and remove the app again."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandbox.accounts import LARGEST_COUNT
from sandbox.clock import DAY_SECONDS
from sandbox.grants import Opening
from sandbox.ledger import Event
from sandbox.scopes import DESCRIPTIONS
from sandbox.sellers import Seller
from sandbox.web.answers import Json
from sandbox.web.guard import ControlBody, ControlRoute, RefusedError, number, open_id_of, parse
from sandbox.web.shop_consent import seller_row
from sandbox.world import World

LOGIN_SCOPES = tuple(DESCRIPTIONS)
TOGETHER = 250  # grants committed at once in bulk: fast, and other calls are answered in between
Life = Annotated[float, Field(gt=0, le=200 * 366 * DAY_SECONDS)]


class SellersBody(ControlBody):
    """How many sellers there shall be at least."""

    count: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]


class GrantBody(ControlBody):
    """What to grant; lives in sandbox seconds, those of the switches when left out."""

    scopes: tuple[str, ...] | None = None
    access_seconds: Life | None = None
    refresh_seconds: Life | None = None


class BulkBody(GrantBody):
    """How many grants to mint, one each for the people numbered from `first` on; more are made if needed."""

    provider: Literal["shop", "login"]
    count: Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
    first: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] = 1


class RevokeBody(ControlBody):
    """Why the app is removed, in Login Kit's numbers, and whether a webhook tells of it."""

    reason: Annotated[int, Field(ge=0, le=5)] = 1
    webhook: bool = True


class GrantControl:
    """Grants without a page, and their end."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[ControlRoute]:
        """Return the routes."""
        return [
            ControlRoute("GET", "/sandbox/sellers", self.sellers, "?q=&offset=&limit="),
            ControlRoute("POST", "/sandbox/sellers", self.create_sellers, '{"count": 20}: at least that many'),
            ControlRoute("POST", "/sandbox/sellers/{open_id}/grant", self.grant, "a grant without a page"),
            ControlRoute("POST", "/sandbox/accounts/{open_id}/grant", self.grant, "a grant without a page"),
            ControlRoute("POST", "/sandbox/grants", self.bulk, '{"provider": "shop", "count": 10000}: JSON lines'),
            ControlRoute("POST", "/sandbox/sellers/{open_id}/revoke", self.revoke, "the seller removes the app"),
            ControlRoute("POST", "/sandbox/accounts/{open_id}/revoke", self.revoke, "the person removes the app"),
        ]

    async def sellers(self, request: Request) -> Response:
        """List sellers in order of their numbers, then creators."""
        found = self._world.sellers.search(request.query_params.get("q", ""))
        offset, limit = number(request, "offset", 0), number(request, "limit", 100)
        page = [self._seller_row(seller) for seller in found[offset : offset + limit]]
        return JSONResponse({"total": len(found), "sellers": page})

    async def create_sellers(self, request: Request) -> Response:
        """Make sure there are this many sellers."""
        body = await parse(request, SellersBody)
        created = self._world.grow_sellers(body.count)
        return JSONResponse({"total": self._world.sellers.count, "created": created})

    async def grant(self, request: Request) -> Response:
        """Mint a grant of one account, seller or creator."""
        body = await parse(request, GrantBody)
        open_id = open_id_of(self._world, request.path_params["open_id"])
        seller = self._world.sellers.find(open_id)
        require_known(body, self._shop_scopes if seller else LOGIN_SCOPES)
        return JSONResponse(self._mint(open_id, body), 201)

    async def bulk(self, request: Request) -> Response:
        """Mint many grants and answer each as a JSON line."""
        body = await parse(request, BulkBody)
        last = body.first + body.count - 1
        if last > LARGEST_COUNT:
            raise RefusedError(400, "INVALID", f"first and count: nobody has a number above {LARGEST_COUNT}.")
        require_known(body, self._shop_scopes if body.provider == "shop" else LOGIN_SCOPES)
        if body.provider == "shop":
            self._world.grow_sellers(max(last, self._world.sellers.count))
        else:
            self._world.grow_accounts(max(last, len(self._world.accounts)))
        return StreamingResponse(self._lines(body), media_type="application/x-ndjson")

    async def revoke(self, request: Request) -> Response:
        """End every grant of one, as its owner would in the settings of TikTok or the Seller Center."""
        body = await parse(request, RevokeBody)
        open_id = open_id_of(self._world, request.path_params["open_id"])
        alive = [grant for grant in self._world.grants.of(open_id) if not grant.revoked]
        for grant in alive:
            self._world.grants.revoke(grant, "removed by the user")
            self._world.ledger.record(Event("revoked", "grant", "user", open_id, grant.id))
        if alive and body.webhook:
            self._world.tell_removed(open_id, body.reason)
        return JSONResponse({"revoked": len(alive)})

    async def _lines(self, body: BulkBody) -> AsyncIterator[str]:
        names = self._names(body)
        while rows := self._some(names, body):
            yield "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
            await asyncio.sleep(0)

    def _names(self, body: BulkBody) -> Iterator[str]:
        kind = "seller" if body.provider == "shop" else "store"
        return (f"{kind}_{index:04d}" for index in range(body.first, body.first + body.count))

    def _some(self, names: Iterator[str], body: GrantBody) -> list[Json]:
        with self._world.store.together():
            return [self._mint(open_id_of(self._world, name), body) for name in islice(names, TOGETHER)]

    def _mint(self, open_id: str, body: GrantBody) -> Json:
        seller = self._world.sellers.find(open_id)
        pair = self._world.grants.open(self._opening(open_id, seller, body))
        self._world.ledger.record_pair(pair)
        shop_time = self._world.shop_time
        return {
            **(seller_row(seller) if seller else self._account_row(open_id)),
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "access_expires_at": shop_time(pair.issued + pair.access_life),
            "refresh_expires_at": shop_time(pair.grant.refresh_expires),
            "scopes": pair.grant.scopes,
        }

    def _opening(self, open_id: str, seller: Seller | None, body: GrantBody) -> Opening:
        opening = Opening(
            open_id,
            LOGIN_SCOPES if body.scopes is None else body.scopes,
            access_life=body.access_seconds,
            refresh_life=body.refresh_seconds,
        )
        if seller is None:
            return opening
        scopes = self._shop_scopes if body.scopes is None else body.scopes
        return replace(opening, scopes=scopes, family=seller.family)

    @property
    def _shop_scopes(self) -> tuple[str, ...]:
        return self._world.board.now.shop_scopes

    def _account_row(self, open_id: str) -> Json:
        account = self._world.accounts.find(open_id)
        return {"username": account.username if account else "", "open_id": open_id}

    def _seller_row(self, seller: Seller) -> Json:
        alive = sum(1 for grant in self._world.grants.of(seller.open_id) if not grant.revoked)
        return {**seller_row(seller), "live_grants": alive}


def require_known(body: GrantBody, known: tuple[str, ...]) -> None:
    """Refuse scopes that no consent page would grant: none at all, or others than an app can have."""
    if body.scopes is not None and not (body.scopes and set(body.scopes) <= set(known)):
        raise RefusedError(400, "INVALID", f"scopes: name one or more of {', '.join(known)}.")
