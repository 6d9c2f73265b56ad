"""The sandbox's own routes under /sandbox/: look inside and steer; for callers on this machine only."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.accounts import LARGEST_COUNT, Account
from sandbox.clock import DAY_SECONDS, LAST
from sandbox.content import user_on, videos_on
from sandbox.web.answers import Json
from sandbox.web.control_faults import FaultControl
from sandbox.web.control_grants import GrantControl
from sandbox.web.control_ledger import LedgerControl
from sandbox.web.control_webhooks import WebhookControl
from sandbox.web.guard import ControlBody, ControlRoute, RefusedError, guarded, misfit, number, parse, read_plain_json
from sandbox.world import World

EPOCH = date(1970, 1, 1)


class AccountsBody(ControlBody):
    """How many accounts there shall be at least."""

    count: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]


class ClockBody(ControlBody):
    """How far to move the clock, and how fast it runs from now on."""

    advance_seconds: Annotated[float, Field(ge=0, le=100 * 366 * DAY_SECONDS)] = 0
    scale: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    frozen: bool | None = None


class ControlRoutes:
    """Health, settings, accounts, truth and clock; beside them grants, ledger, faults and webhooks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return the routes, each closed to callers from elsewhere."""
        table = [
            *self._table(),
            *GrantControl(self._world).table(),
            *LedgerControl(self._world).table(),
            *FaultControl(self._world).table(),
            *WebhookControl(self._world).table(),
        ]
        self._index = [{"method": route.method, "path": route.path, "what": route.what} for route in table]
        return [Route(route.path, guarded(route.handler), methods=[route.method]) for route in table]

    def _table(self) -> list[ControlRoute]:
        return [
            ControlRoute("GET", "/sandbox/", self.index, "this list"),
            ControlRoute("GET", "/sandbox/health", self.health, "200 when it serves"),
            ControlRoute("GET", "/sandbox/settings", self.settings, "what was set at the start, and the switches"),
            ControlRoute("PATCH", "/sandbox/settings", self.change_settings, "change switches: {name: value, ...}"),
            ControlRoute("GET", "/sandbox/accounts", self.accounts, "?q=&offset=&limit="),
            ControlRoute("POST", "/sandbox/accounts", self.create_accounts, '{"count": 300}: at least that many'),
            ControlRoute("GET", "/sandbox/truth", self.all_truth, "JSON lines, one per account; ?day=YYYY-MM-DD"),
            ControlRoute("GET", "/sandbox/truth/{open_id}", self.truth, "user and all videos; ?day=YYYY-MM-DD"),
            ControlRoute("GET", "/sandbox/clock", self.clock, "sandbox time"),
            ControlRoute(
                "POST", "/sandbox/clock", self.set_clock, '{"advance_seconds": 3600, "scale": 60, "frozen": true}'
            ),
        ]

    async def index(self, _request: Request) -> Response:
        """List these routes."""
        return JSONResponse({"routes": self._index})

    async def health(self, _request: Request) -> Response:
        """Say that it serves."""
        return JSONResponse({"status": "healthy", "accounts": len(self._world.accounts)})

    async def settings(self, _request: Request) -> Response:
        """Show the settings, without the client secret."""
        fixed = self._world.settings.model_dump(mode="json", exclude={"client_secret", "shop_app_secret", "switches"})
        return JSONResponse({"fixed": fixed, "switches": self._world.board.now.model_dump(mode="json")})

    async def change_settings(self, request: Request) -> Response:
        """Change switches; all or none."""
        changes = await read_plain_json(request)
        if not isinstance(changes, dict):
            raise RefusedError(400, "INVALID", "Send an object of switches.")
        try:
            self._world.board.now = self._world.board.now.patched(changes)
        except ValidationError as error:
            raise misfit(error) from None
        return await self.settings(request)

    async def accounts(self, request: Request) -> Response:
        """List accounts in order of their numbers."""
        found = self._world.accounts.search(request.query_params.get("q", ""))
        offset, limit = number(request, "offset", 0), number(request, "limit", 100)
        page = [self._account_row(a) for a in found[offset : offset + limit]]
        return JSONResponse({"total": len(found), "accounts": page})

    async def create_accounts(self, request: Request) -> Response:
        """Make sure there are this many accounts."""
        body = await parse(request, AccountsBody)
        created = self._world.grow_accounts(body.count)
        return JSONResponse({"total": len(self._world.accounts), "created": created})

    async def truth(self, request: Request) -> Response:
        """Show what the API would show of one account."""
        return JSONResponse(self._truth(self._account(request), self._day(request)))

    async def all_truth(self, request: Request) -> Response:
        """Show what the API would show of every account, one JSON line each."""
        day = self._day(request)

        def lines() -> Iterator[str]:
            for account in list(self._world.accounts):
                yield json.dumps(self._truth(account, day), ensure_ascii=False) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def clock(self, _request: Request) -> Response:
        """Show sandbox time."""
        clock = self._world.clock
        shown = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
        return JSONResponse(
            {
                "now": shown,
                "unix": clock.now(),
                "day": _show(clock.today()),
                "scale": clock.scale,
                "frozen": clock.frozen,
            }
        )

    async def set_clock(self, request: Request) -> Response:
        """Move the clock forward, change its speed, freeze it or let it go on."""
        body = await parse(request, ClockBody)
        if self._world.clock.now() + body.advance_seconds > LAST:
            raise RefusedError(400, "INVALID", "advance_seconds: the clock goes no further than the year 2200.")
        if body.scale is not None:
            self._world.clock.rescale(body.scale)
        if body.frozen is not None:
            self._world.clock.freeze(body.frozen)
        self._world.clock.advance(body.advance_seconds)
        self._world.outbox.clock_moved()
        self._world.store.save_anchor(self._world.clock.anchor())
        return await self.clock(request)

    def _account(self, request: Request) -> Account:
        account = self._world.accounts.find(request.path_params["open_id"])
        if account is None:
            raise RefusedError(404, "NOT_FOUND", "No account has this open_id or username.")
        return account

    def _account_row(self, account: Account) -> Json:
        alive = sum(1 for grant in self._world.grants.of(account.open_id) if not grant.revoked)
        return {
            "index": account.index,
            "username": account.username,
            "open_id": account.open_id,
            "union_id": account.union_id,
            "display_name": account.display_name,
            "live_grants": alive,
        }

    def _day(self, request: Request) -> int:
        text = request.query_params.get("day")
        if not text:
            return self._world.clock.today()
        try:
            return (date.fromisoformat(text) - EPOCH).days
        except ValueError:
            raise RefusedError(400, "INVALID", "day must look like 2026-11-21.") from None

    def _truth(self, account: Account, day: int) -> Json:
        seed, shown = self._world.settings.seed, self._world.settings.videos
        return {
            "open_id": account.open_id,
            "day": _show(day),
            "user": user_on(seed, account, day, shown),
            "videos": videos_on(seed, account, day, shown),
        }


def _show(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
