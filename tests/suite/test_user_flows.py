"""What older clients do, as they do it, apart from the host."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.suite.local_suite import SERVING, Home, start

SETTINGS_PAGE = "http://localhost:3000/creator-dashboard/settings"
SHOP_FIELDS = {"shopId", "shopName", "region", "isActive", "createdAt", "updatedAt"}


async def consent(link: str, account: str) -> dict[str, str]:
    """Consent on TikTok's page, and return what it appends to the redirect."""
    async with httpx.AsyncClient() as browser:
        page = (await browser.get(link, headers={"Accept": "application/json"})).json()
        form = {"ticket": page["ticket"], "account": account, "decision": "authorize", "scopes": page.get("scopes", [])}
        sent_back = await browser.post(page["consent_url"], data=form)
    return {name: values[0] for name, values in parse_qs(urlsplit(sent_back.headers["Location"]).query).items()}


async def connect_shop(app: httpx.AsyncClient, seller: str) -> httpx.Response:
    """The snippet: initiate, go to TikTok, hand code and state of the address on."""
    initiated = await app.post("/api/v1/tiktok/auth/initiate", json={})
    assert (initiated.status_code, set(initiated.json())) == (200, {"authUrl", "state"})
    parameters = await consent(initiated.json()["authUrl"], seller)
    assert parameters["state"] == initiated.json()["state"]
    body = {"code": parameters["code"], "state": parameters["state"]}
    return await app.post("/api/v1/tiktok/auth/callback", json=body)


async def shops_of(home: Home) -> dict[str, list[dict[str, Any]]]:
    async with httpx.AsyncClient(base_url=home.sandbox) as sandbox:
        sellers = (await sandbox.get("/sandbox/sellers")).json()["sellers"]
    return {seller["username"]: seller["shops"] for seller in sellers}


async def test_a_frontend_connects_one_shop_for_its_user(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        shops = await shops_of(home)
        seller, other = [name for name, owned in shops.items() if len(owned) == 1][:2]
        app = httpx.AsyncClient(base_url=home.gateway, headers=home.user_headers("u-1"), timeout=30)
        rival = httpx.AsyncClient(base_url=home.gateway, headers=home.user_headers("u-2"), timeout=30)
        async with app, rival:
            made = await connect_shop(app, seller)
            assert (made.status_code, set(made.json())) == (200, SHOP_FIELDS)
            (shop,) = shops[seller]
            assert {name: made.json()[name] for name in ("shopId", "shopName", "isActive")} == {
                "shopId": shop["id"],
                "shopName": shop["name"],
                "isActive": True,
            }
            assert (await app.get("/api/v1/tiktok/shop/info")).json() == made.json()
            assert (await app.get("/api/v1/tiktok/auth/status")).json() == {
                "isConnected": True,
                "shopId": shop["id"],
                "shopName": shop["name"],
            }
            again = await connect_shop(app, seller)
            second, stolen = await connect_shop(app, other), await connect_shop(rival, seller)
            assert [one.status_code for one in (again, second, stolen)] == [200, 409, 409]
            refreshed = await app.post("/api/v1/tiktok/auth/refresh")
            assert refreshed.json() == {"success": True, "message": "Token refreshed successfully"}
            by_hand = await app.post(
                "/api/tiktok/refresh-all-tokens", params={"force": "true"}, headers=home.admin_headers
            )
            assert by_hand.json()["summary"] == {"total": 1, "successful": 1, "failed": 0}
            (result,) = by_hand.json()["results"]
            assert (result["shopName"], result["success"]) == (shop["name"], True)
            assert isinstance(result["shopNumber"], int)
            foreign = (await app.post("/api/v1/tiktok/auth/initiate", json={})).json()
            parameters = await consent(foreign["authUrl"], seller)
            taken = await rival.post("/api/v1/tiktok/auth/callback", json={"code": "c", "state": parameters["state"]})
            assert (taken.status_code, taken.json()["error"]["code"]) == (401, "STATE_INVALID")
            gone = await app.delete("/api/v1/tiktok/shop/disconnect")
            assert gone.json() == {"message": "TikTok Shop disconnected successfully", "statusCode": 200}
            assert (await app.get("/api/v1/tiktok/shop/info")).status_code == 404
            assert (await app.post("/api/v1/tiktok/auth/refresh")).status_code == 404
            assert (await connect_shop(rival, seller)).status_code == 200


async def test_a_creator_connects_syncs_and_leaves(home: Home) -> None:
    allowed = {"TIKTOK_ALLOWED_REDIRECT_URIS": SETTINGS_PAGE, "SANDBOX_REDIRECT_URIS": SETTINGS_PAGE}
    base = "/api/v1/integrations/tiktok"
    async with start(home, STORES="0", **allowed) as suite:
        await suite.until(SERVING)
        app = httpx.AsyncClient(base_url=home.gateway, headers=home.user_headers("creator_1"), timeout=60)
        async with app, httpx.AsyncClient(base_url=home.sandbox) as sandbox:
            before = (await app.get(f"{base}/status/creator_1")).json()
            assert before.pop("isConnected") is False
            assert set(before.values()) == {None}
            elsewhere = {"user_id": "creator_1", "redirect_uri": "https://evil.example/"}
            assert (await app.post(f"{base}/auth/init", params=elsewhere)).status_code == 400
            way = {"user_id": "creator_1", "redirect_uri": SETTINGS_PAGE}
            begun = (await app.post(f"{base}/auth/init", params=way)).json()
            account = (await sandbox.get("/sandbox/accounts")).json()["accounts"][0]
            back = await consent(begun["authUrl"], account["username"])
            parameters = {"code": back["code"], "state": back["state"], "user_id": "creator_1"}
            made = await app.post(f"{base}/auth/callback", params=parameters)
            assert (made.status_code, made.json()["isConnected"]) == (200, True)
            assert (await app.get(f"{base}/metrics/creator_1")).json()["lastSyncAt"] is None
            synced = (await app.post(f"{base}/sync/creator_1")).json()
            assert set(synced["data"]) == {"success", "userId", "message", "duration", "recordsProcessed"}
            assert (synced["data"]["success"], synced["data"]["userId"]) == (True, "creator_1")
            metrics = (await app.get(f"{base}/metrics/creator_1")).json()
            assert all(value is not None for value in metrics.values())
            status = (await app.get(f"{base}/status/creator_1")).json()
            assert (status["username"], status["lastSyncAt"]) == (account["username"], metrics["lastSyncAt"])
            gone = await app.delete(f"{base}/disconnect/creator_1")
            assert (gone.status_code, gone.json()["statusCode"]) == (200, 200)
            assert (await app.get(f"{base}/status/creator_1")).json()["isConnected"] is False
