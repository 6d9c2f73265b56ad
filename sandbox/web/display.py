"""The Display API: user/info, video/list and video/query with fields, scopes, pages and the sliding rate limit."""

import json
from math import ceil
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, StrictInt, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.accounts import Account
from sandbox.content import PAGE_MAX
from sandbox.fault_kinds import Endpoint
from sandbox.grants import Grant, RefusedError
from sandbox.scopes import USER_FIELDS, VIDEO_FIELDS, split_list
from sandbox.web.answers import Answer, Json, display_error, display_ok
from sandbox.web.delivery import call_of, deliver
from sandbox.world import World

Body = TypeVar("Body", bound=BaseModel)


class ListBody(BaseModel):
    """Body of video/list; `cursor` in Unix milliseconds, videos posted before it follow."""

    cursor: Annotated[StrictInt, Field(ge=0, lt=1 << 63)] | None = None
    max_count: Annotated[StrictInt, Field(ge=1, le=PAGE_MAX)] = 10


class Filters(BaseModel):
    """Which videos to look up."""

    video_ids: Annotated[list[str], Field(min_length=1, max_length=PAGE_MAX)]


class QueryBody(BaseModel):
    """Body of video/query."""

    filters: Filters


class ParamsError(Exception):
    """A parameter does not fit; the text says which."""


class DisplayRoutes:
    """The three endpoints of the Display API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return the routes; the slash at the end belongs to them."""
        return [
            Route("/v2/user/info/", self.user_info, methods=["GET"]),
            Route("/v2/video/list/", self.video_list, methods=["POST"]),
            Route("/v2/video/query/", self.video_query, methods=["POST"]),
        ]

    async def user_info(self, request: Request) -> Response:
        """Answer the requested fields of the token's account."""
        return await self._serve(request, "user_info", USER_FIELDS)

    async def video_list(self, request: Request) -> Response:
        """Answer one page of public videos, newest first."""
        return await self._serve(request, "video_list", VIDEO_FIELDS)

    async def video_query(self, request: Request) -> Response:
        """Answer those of the named videos that are the account's own."""
        return await self._serve(request, "video_query", VIDEO_FIELDS)

    async def _serve(self, request: Request, endpoint: Endpoint, known: dict[str, str]) -> Response:
        token = _bearer(request)
        asked = split_list(request.query_params.get("fields", ""))
        body = await request.body()
        call = call_of(request, endpoint, self._world.grants.owner(token))
        return await deliver(self._world, call, lambda: self._checked(endpoint, token, _Ask(known, asked, body)))

    def _checked(self, endpoint: Endpoint, token: str, ask: "_Ask") -> Answer:
        switches = self._world.board.now
        grant = self._authenticate(token)
        if grant is None:
            return display_error(switches, "access_token_invalid")
        limited = self._over_limit(endpoint, grant)
        if limited:
            return limited
        try:
            ask.check_fields()
            if ask.scopes() - set(grant.scopes):
                return display_error(switches, switches.display_missing_scope)
            return self._content(endpoint, self._account(grant), ask)
        except ParamsError as error:
            return display_error(switches, "invalid_params", str(error))

    def _account(self, grant: Grant) -> Account:
        account = self._world.accounts.find(grant.open_id)
        if account is None:
            raise LookupError(f"the state file knows account {grant.open_id}, SANDBOX_SEED makes another")
        return account

    def _authenticate(self, token: str) -> Grant | None:
        try:
            grant = self._world.grants.access(token)
        except RefusedError as refused:
            self._world.note_refused("access", token, refused)
            return None
        self._world.note_accepted("access", "accepted", token, grant)
        return grant

    def _over_limit(self, endpoint: Endpoint, grant: Grant) -> Answer | None:
        switches = self._world.board.now
        key = endpoint if switches.rate_scope == "app" else f"{endpoint} {grant.open_id}"
        wait = self._world.limiter.admit(key, limit=switches.rate_limit, window=switches.rate_window_seconds)
        if not wait:
            return None
        answer = display_error(switches, "rate_limit_exceeded")
        if switches.retry_after == "present":
            answer.headers["Retry-After"] = str(max(1, ceil(wait / self._world.clock.scale)))
        return answer

    def _content(self, endpoint: Endpoint, account: Account, ask: "_Ask") -> Answer:
        day = self._world.clock.today()
        if endpoint == "user_info":
            return display_ok({"user": ask.pick(self._world.catalogue.user(account, day))})
        videos = self._world.catalogue.videos(account, day)
        if endpoint == "video_query":
            wanted = set(ask.parse(QueryBody).filters.video_ids)
            return display_ok({"videos": [ask.pick(video) for video in videos if video["id"] in wanted]})
        return display_ok(page(videos, ask.parse(ListBody), ask))


class _Ask:
    """What a call asks for: fields among those known, and a JSON body."""

    def __init__(self, known: dict[str, str], fields: tuple[str, ...], body: bytes) -> None:
        self._known = known
        self._fields = fields
        self._body = body

    def check_fields(self) -> None:
        unknown = [name for name in self._fields if name not in self._known]
        if not self._fields or unknown:
            raise ParamsError(f"Fields are missing or not supported: {', '.join(unknown) or 'fields'}"[:200])

    def scopes(self) -> set[str]:
        return {self._known[name] for name in self._fields}

    def pick(self, row: Json) -> Json:
        return {name: row[name] for name in self._fields}

    def parse(self, model: type[Body]) -> Body:
        try:
            return model.model_validate(json.loads(self._body or b"{}"))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise ParamsError(f"The parameter {where or 'body'} is invalid.") from None
        except (ValueError, RecursionError):
            raise ParamsError("The body is not JSON.") from None


def page(videos: list[Json], body: ListBody, ask: _Ask) -> Json:
    """Return the page after the cursor; its own cursor is that of its last video."""
    older = [v for v in videos if body.cursor is None or v["create_time"] * 1_000 < body.cursor]
    shown = older[: body.max_count]
    cursor = shown[-1]["create_time"] * 1_000 if shown else body.cursor or 0
    return {"videos": [ask.pick(v) for v in shown], "cursor": cursor, "has_more": len(older) > len(shown)}


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
