"""A TikTok that answers what a test tells it to, for answers that the sandbox is too well-behaved to give."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Json = dict[str, Any]
OK = {"code": "ok", "message": "", "log_id": "x"}


class ScriptedTikTok:
    """Answers user/info with `user` and video/list with what `page` makes of the cursor."""

    def __init__(self) -> None:
        self.url = ""
        self.user: Json = {"open_id": "x", "follower_count": 5, "video_count": 0}
        self.page: Callable[[int | None], Json] = lambda _cursor: {"videos": [], "cursor": 0, "has_more": False}
        self.cursors: list[int | None] = []
        self.user_seconds = 0.0
        self.users_at_once = 0
        self._users = 0

    async def user_info(self, _request: web.Request) -> web.Response:
        self._users += 1
        self.users_at_once = max(self.users_at_once, self._users)
        await asyncio.sleep(self.user_seconds)
        self._users -= 1
        return answer({"user": self.user})

    async def video_list(self, request: web.Request) -> web.Response:
        cursor = (await request.json()).get("cursor")
        self.cursors.append(cursor)
        return answer(self.page(cursor))


def answer(data: Json) -> web.Response:
    # Not web.json_response: NaN and half surrogates must get through.
    return web.Response(text=json.dumps({"data": data, "error": OK}), content_type="application/json")


@asynccontextmanager
async def scripted_tiktok() -> AsyncIterator[ScriptedTikTok]:
    """Yield a TikTok on a port of its own."""
    scripted = ScriptedTikTok()
    app = web.Application()
    app.router.add_get("/v2/user/info/", scripted.user_info)
    app.router.add_post("/v2/video/list/", scripted.video_list)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield scripted
    finally:
        await runner.cleanup()
