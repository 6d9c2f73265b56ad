"""tiktok-mcp: Login Kit for desktop apps and the Display API, at TikTok's own addresses."""

import asyncio
import json
import os
from collections.abc import Awaitable
from typing import Any, ClassVar

import keyring
from keyring.backend import KeyringBackend
from tiktok_mcp.tools.accounts import add_account, complete_account_login
from tiktok_mcp.tools.app_credentials import set_app_credentials
from tiktok_mcp.tools.display_read import (
    display_get_user_info,
    display_list_videos,
    display_refresh_token,
    display_revoke_token,
)
from tiktok_mcp.types import ApiType, DisplayApiError


class Drawer(KeyringBackend):
    """Where the client keeps its tokens."""

    priority = 1
    kept: ClassVar[dict[str, str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[username] = password

    def delete_password(self, service: str, username: str) -> None:
        self.kept.pop(username, None)


async def main() -> None:
    keyring.set_keyring(Drawer())
    os.environ.update(
        TIKTOK_MCP_ALLOW_ACCOUNT_CHANGES="1", TIKTOK_MCP_ALLOW_WRITES="display", TIKTOK_MCP_LIVE_ACCOUNT_SAFETY="0"
    )
    callback = "http://127.0.0.1:3000/auth/tiktok/callback"
    await set_app_credentials("display", "sbawtokhubsandbox", "CNRYsandboxclientsecret", redirect_uri=callback)
    asked = await add_account(ApiType.DISPLAY, "shop-one")
    print(asked["url"], flush=True)
    seen: dict[str, Any] = {"account": await complete_account_login(await asyncio.to_thread(input))}
    seen["user"] = await display_get_user_info("shop-one")
    seen["pages"] = await pages()
    before = dict(Drawer.kept)
    seen["refreshed"] = await display_refresh_token("shop-one")
    seen["user_after"] = await display_get_user_info("shop-one")
    after = dict(Drawer.kept)
    Drawer.kept.update(before)
    seen["old_token"] = await error_of(display_refresh_token("shop-one"))
    Drawer.kept.update(after)
    seen["revoked"] = await error_of(display_revoke_token("shop-one"))
    print(json.dumps(seen))


async def pages() -> list[list[str]]:
    found: list[list[str]] = []
    page = await display_list_videos("shop-one", max_count=20)
    while True:
        found.append([video["id"] for video in page["videos"]])
        if not page["has_more"]:
            return found
        page = await display_list_videos("shop-one", cursor=page["cursor"], max_count=20)


async def error_of(call: Awaitable[dict[str, Any]]) -> str:
    try:
        return str(await call)
    except DisplayApiError as error:
        return f"{error.error_code}: {error}"


asyncio.run(main())
