"""A plain HTTP client that walks through TikTok Shop as an app and as the seller who consents."""

import time
from typing import Any

import httpx

from sandbox.shop_signing import shop_sign
from tests.sandbox.visitor import Json, Visitor, as_json, query

APP_KEY = "6sandboxshop"
APP_SECRET = "CNRYsandboxshopsecret"
SERVICE_ID = "7400000000000000001"
SHOPS = "/authorization/202309/shops"


class Shopper(Visitor):
    async def ask_seller(self, accept: str = "application/json", **changes: str) -> httpx.Response:
        params = {"service_id": SERVICE_ID, "state": "st-9", **changes}
        return await self.client.get("/open/authorize", params=params, headers={"Accept": accept})

    async def decide_seller(self, account: str = "seller_0001", **changes: str) -> httpx.Response:
        ticket = (await self.ask_seller()).json()["ticket"]
        form = {"ticket": ticket, "account": account, "decision": "authorize", **changes}
        return await self.client.post("/open/authorize", data=form)

    async def shop_code(self, account: str = "seller_0001") -> str:
        return query(await self.decide_seller(account))["code"]

    async def shop_get(self, code: str, **changes: str) -> Json:
        params = {"app_key": APP_KEY, "app_secret": APP_SECRET, "grant_type": "authorized_code", "auth_code": code}
        return as_json(await self.client.get("/api/v2/token/get", params={**params, **changes}))

    async def shop_refresh_answer(self, refresh_token: str, **changes: str) -> httpx.Response:
        params = {"app_key": APP_KEY, "app_secret": APP_SECRET, "grant_type": "refresh_token", **changes}
        return await self.client.get("/api/v2/token/refresh", params={**params, "refresh_token": refresh_token})

    async def shop_refresh(self, refresh_token: str, **changes: str) -> Json:
        return as_json(await self.shop_refresh_answer(refresh_token, **changes))

    async def connect_shop(self, account: str = "seller_0001") -> Json:
        data: Json = (await self.shop_get(await self.shop_code(account)))["data"]
        return data

    async def shops(self, access_token: str, secret: str = APP_SECRET, **changes: str) -> httpx.Response:
        params = {"app_key": APP_KEY, "timestamp": str(int(time.time())), **changes}
        signed = {"sign": shop_sign(secret, SHOPS, params), **params}
        return await self.client.get(SHOPS, params=signed, headers={"x-tts-access-token": access_token})

    async def grant(self, who: str, **body: Any) -> Json:
        kind = "accounts" if who.startswith("store") else "sellers"
        answer = await self.client.post(f"/sandbox/{kind}/{who}/grant", json=body)
        return as_json(answer.raise_for_status())
