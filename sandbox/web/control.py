"""The sandbox's own routes under /sandbox/: look inside and steer; for callers on this machine only."""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.accounts import LARGEST_COUNT, Account
from sandbox.clock import DAY_SECONDS
from sandbox.content import user_on, videos_on
from sandbox.faults import Fault
from sandbox.ledger import Event
from sandbox.web.answers import Json
from sandbox.world import World

Handler = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body", bound=BaseModel)
EPOCH = date(1970, 1, 1)
MOST_PER_PAGE = 10_000


class RefusedError(Exception):
    """The control call does not fit; answered with this status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = JSONResponse({"error": {"code": code, "message": message}}, status)


class AccountsBody(BaseModel):
    """How many accounts there shall be at least."""

    model_config = ConfigDict(extra="forbid")
    count: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]


class ClockBody(BaseModel):
    """How far to move the clock, and how fast it runs from now on."""

    model_config = ConfigDict(extra="forbid")
    advance_seconds: Annotated[float, Field(ge=0, le=100 * 366 * DAY_SECONDS)] = 0
    scale: Annotated[float, Field(gt=0, le=1_000_000)] | None = None


class ControlRoutes:
    """Health, settings, accounts, truth, ledger, faults and clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return the routes, each closed to callers from elsewhere."""
        table: list[tuple[str, str, Handler, str]] = [
            ("GET", "/sandbox/", self.index, "this list"),
            ("GET", "/sandbox/health", self.health, "200 when it serves"),
            ("GET", "/sandbox/settings", self.settings, "what was set at the start, and the switches"),
            ("PATCH", "/sandbox/settings", self.change_settings, "change switches: {name: value, ...}"),
            ("GET", "/sandbox/accounts", self.accounts, "?q=&offset=&limit="),
            ("POST", "/sandbox/accounts", self.create_accounts, '{"count": 300}: at least that many'),
            ("POST", "/sandbox/accounts/{open_id}/revoke", self.revoke, "the person removes the app"),
            ("GET", "/sandbox/truth", self.all_truth, "JSON lines, one per account; ?day=YYYY-MM-DD"),
            ("GET", "/sandbox/truth/{open_id}", self.truth, "user and all videos; ?day=YYYY-MM-DD"),
            ("GET", "/sandbox/ledger", self.ledger, "counters"),
            ("DELETE", "/sandbox/ledger", self.reset_ledger, "forget all"),
            ("GET", "/sandbox/ledger/events", self.events, "?after=&limit=&open_id="),
            ("GET", "/sandbox/ledger/accounts/{open_id}", self.account_ledger, "counters and grants of one account"),
            ("GET", "/sandbox/faults", self.faults, "what is still to come"),
            ("POST", "/sandbox/faults", self.add_faults, "one fault or a list"),
            ("DELETE", "/sandbox/faults", self.clear_faults, "forget all"),
            ("DELETE", "/sandbox/faults/{number}", self.remove_fault, "forget one"),
            ("GET", "/sandbox/clock", self.clock, "sandbox time"),
            ("POST", "/sandbox/clock", self.set_clock, '{"advance_seconds": 3600, "scale": 60}'),
        ]
        self._index = [{"method": m, "path": path, "what": what} for m, path, _, what in table]
        return [Route(path, guarded(handler), methods=[method]) for method, path, handler, _ in table]

    async def index(self, _request: Request) -> Response:
        """List these routes."""
        return JSONResponse({"routes": self._index})

    async def health(self, _request: Request) -> Response:
        """Say that it serves."""
        return JSONResponse({"status": "healthy", "accounts": len(self._world.accounts)})

    async def settings(self, _request: Request) -> Response:
        """Show the settings, without the client secret."""
        fixed = self._world.settings.model_dump(mode="json", exclude={"client_secret", "switches"})
        return JSONResponse({"fixed": fixed, "switches": self._world.board.now.model_dump(mode="json")})

    async def change_settings(self, request: Request) -> Response:
        """Change switches; all or none."""
        changes = await _json(request)
        if not isinstance(changes, dict):
            raise RefusedError(400, "INVALID", "Send an object of switches.")
        try:
            self._world.board.now = self._world.board.now.patched(changes)
        except ValidationError as error:
            raise RefusedError(400, "INVALID", _first(error)) from None
        return await self.settings(request)

    async def accounts(self, request: Request) -> Response:
        """List accounts in order of their numbers."""
        found = self._world.accounts.search(request.query_params.get("q", ""))
        offset, limit = _number(request, "offset", 0), _number(request, "limit", 100)
        page = [self._account_row(a) for a in found[offset : offset + limit]]
        return JSONResponse({"total": len(found), "accounts": page})

    async def create_accounts(self, request: Request) -> Response:
        """Make sure there are this many accounts."""
        body = await _parse(request, AccountsBody)
        created = self._world.grow_accounts(body.count)
        return JSONResponse({"total": len(self._world.accounts), "created": created})

    async def revoke(self, request: Request) -> Response:
        """End every grant of an account, as its owner would in TikTok's settings."""
        account = self._account(request)
        alive = [grant for grant in self._world.grants.of(account.open_id) if not grant.revoked]
        for grant in alive:
            self._world.grants.revoke(grant, "removed by the user")
            self._world.ledger.record(Event("revoked", "grant", "user", account.open_id, grant.id))
        return JSONResponse({"revoked": len(alive)})

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

    async def ledger(self, _request: Request) -> Response:
        """Show the figures of the whole run."""
        return JSONResponse(
            {**self._world.ledger.summary(), "refreshes_per_grant": self._world.ledger.refreshes_per_grant()}
        )

    async def reset_ledger(self, _request: Request) -> Response:
        """Forget all figures and events."""
        self._world.ledger.reset()
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Show kept events, oldest first."""
        after, limit = _number(request, "after", 0), _number(request, "limit", 1_000)
        rows = self._world.ledger.events(after=after, limit=limit, open_id=request.query_params.get("open_id"))
        return JSONResponse({"events": rows, "next_after": rows[-1]["sequence"] if rows else after})

    async def account_ledger(self, request: Request) -> Response:
        """Show the figures and the grants of one account, with the refresh token that works now."""
        open_id = self._account(request).open_id
        grants = [
            {
                **grant.as_json(),
                **self._world.ledger.grant(grant.id),
                "live_refresh_token": None if grant.revoked else self._world.grants.live_refresh_token(grant),
            }
            for grant in self._world.grants.of(open_id)
        ]
        return JSONResponse({"open_id": open_id, **self._world.ledger.account(open_id), "grants": grants})

    async def faults(self, _request: Request) -> Response:
        """Show the faults still to come."""
        pending = self._world.faults.pending().items()
        return JSONResponse({"faults": [{"number": number, **fault.model_dump()} for number, fault in pending]})

    async def add_faults(self, request: Request) -> Response:
        """Append one fault or a list; all or none."""
        body = await _json(request)
        try:
            faults = [Fault.model_validate(item) for item in (body if isinstance(body, list) else [body])]
        except ValidationError as error:
            raise RefusedError(400, "INVALID", _first(error)) from None
        named = [self._with_open_id(fault) for fault in faults]
        return JSONResponse({"numbers": [self._world.faults.add(fault) for fault in named]}, 201)

    async def clear_faults(self, _request: Request) -> Response:
        """Take all faults out."""
        self._world.faults.clear()
        return Response(status_code=204)

    async def remove_fault(self, request: Request) -> Response:
        """Take one fault out."""
        number = request.path_params["number"]
        if not number.isdigit() or not self._world.faults.remove(int(number)):
            raise RefusedError(404, "NOT_FOUND", f"No fault {number} is pending.")
        return Response(status_code=204)

    async def clock(self, _request: Request) -> Response:
        """Show sandbox time."""
        clock = self._world.clock
        shown = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
        return JSONResponse({"now": shown, "unix": clock.now(), "day": _show(clock.today()), "scale": clock.scale})

    async def set_clock(self, request: Request) -> Response:
        """Move the clock forward, or change its speed."""
        body = await _parse(request, ClockBody)
        if body.scale is not None:
            self._world.clock.rescale(body.scale)
        self._world.clock.advance(body.advance_seconds)
        self._world.store.save_anchor(self._world.clock.anchor())
        return await self.clock(request)

    def _with_open_id(self, fault: Fault) -> Fault:
        if fault.open_id == "*":
            return fault
        account = self._world.accounts.find(fault.open_id)
        if account is None:
            raise RefusedError(404, "NOT_FOUND", "open_id: no account has this open_id or username.")
        return fault.model_copy(update={"open_id": account.open_id})

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
        seed = self._world.settings.seed
        return {
            "open_id": account.open_id,
            "day": _show(day),
            "user": user_on(seed, account, day),
            "videos": videos_on(seed, account, day),
        }


def guarded(handler: Handler) -> Handler:
    """Return the handler, closed to peers that are not this machine, its refusals turned into answers."""

    async def serve(request: Request) -> Response:
        if not _is_loopback(request):
            return RefusedError(403, "FORBIDDEN", "The control API answers to this machine only.").answer
        try:
            return await handler(request)
        except RefusedError as refused:
            return refused.answer

    return serve


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError:
        raise RefusedError(400, "INVALID", "The body is not JSON.") from None


async def _parse(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate(await _json(request))
    except ValidationError as error:
        raise RefusedError(400, "INVALID", _first(error)) from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RefusedError(400, "INVALID", f"{name} must be a whole number.")
    return int(text) if name != "limit" else min(int(text), MOST_PER_PAGE)


def _show(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
