"""A plain HTTP client that walks through the sandbox as an app and as the person who consents."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

KEY = "sbawtokhubsandbox"
SECRET = "CNRYsandboxclientsecret"
CALLBACK = "http://127.0.0.1:3000/auth/tiktok/callback"
SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")
Json = dict[str, Any]


class Visitor:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, accept: str = "application/json", **changes: str | None) -> httpx.Response:
        params: dict[str, str | None] = {
            "client_key": KEY,
            "response_type": "code",
            "scope": ",".join(SCOPES),
            "redirect_uri": CALLBACK,
            "state": "st-1",
            **changes,
        }
        kept = {name: value for name, value in params.items() if value is not None}
        return await self.client.get("/v2/auth/authorize/", params=kept, headers={"Accept": accept})

    async def decide(self, ticket: str, **changes: Any) -> httpx.Response:
        form = {"ticket": ticket, "account": "store_0001", "scopes": SCOPES, "decision": "authorize", **changes}
        return await self.client.post("/v2/auth/authorize/", data=form)

    async def consent(self, account: str = "store_0001", scopes: tuple[str, ...] = SCOPES, **asked: str) -> str:
        ticket = (await self.ask(**asked)).json()["ticket"]
        return query(await self.decide(ticket, account=account, scopes=scopes))["code"]

    async def token(self, **form: str) -> httpx.Response:
        return await self.client.post("/v2/oauth/token/", data={"client_key": KEY, "client_secret": SECRET, **form})

    async def exchange(self, code: str, **changes: str) -> Json:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **changes}
        return as_json(await self.token(**form))

    async def connect(self, account: str = "store_0001", scopes: tuple[str, ...] = SCOPES) -> Json:
        return await self.exchange(await self.consent(account, scopes))

    async def refresh(self, refresh_token: str) -> Json:
        return as_json(await self.token(grant_type="refresh_token", refresh_token=refresh_token))

    async def revoke(self, access_token: str) -> Json:
        form = {"client_key": KEY, "client_secret": SECRET, "token": access_token}
        return as_json(await self.client.post("/v2/oauth/revoke/", data=form))

    async def user(self, access_token: str, fields: str = "open_id,display_name") -> httpx.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return await self.client.get("/v2/user/info/", params={"fields": fields}, headers=headers)

    async def videos(self, access_token: str, body: Json, fields: str = "id,create_time") -> httpx.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return await self.client.post("/v2/video/list/", params={"fields": fields}, headers=headers, json=body)

    async def query_videos(self, access_token: str, ids: list[str]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        body = {"filters": {"video_ids": ids}}
        return await self.client.post("/v2/video/query/", params={"fields": "id"}, headers=headers, json=body)

    async def all_videos(self, access_token: str, fields: str) -> tuple[list[Json], int]:
        """Return every video and the number of pages it took."""
        rows: list[Json] = []
        body: Json = {"max_count": 20}
        for pages in range(1, 50):
            data = (await self.videos(access_token, body, fields)).json()["data"]
            rows += data["videos"]
            body["cursor"] = data["cursor"]
            if not data["has_more"]:
                return rows, pages
        raise AssertionError("the walk does not end")

    async def switch(self, **changes: Any) -> None:
        (await self.client.patch("/sandbox/settings", json=changes)).raise_for_status()

    async def advance(self, seconds: float) -> None:
        (await self.client.post("/sandbox/clock", json={"advance_seconds": seconds})).raise_for_status()

    async def fault(self, kind: str, **more: Any) -> None:
        (await self.client.post("/sandbox/faults", json={"kind": kind, **more})).raise_for_status()

    async def ledger(self, path: str = "") -> Json:
        return as_json(await self.client.get(f"/sandbox/ledger{path}"))


def as_json(response: httpx.Response) -> Json:
    body: Json = response.json()
    return body


def query(response: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))
