import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.rpc.certified import Office
from tests.sandbox.conftest import Start
from tests.sandbox.guest import node_guest, python_guest, serve_tunnel
from tests.sandbox.visitor import Json, Visitor

HOSTS = ("www.tiktok.com", "open.tiktokapis.com")
# Django, mcp and a client of 2,700 files take their time to be imported on a machine that has other work.
pytestmark = pytest.mark.timeout(300)
CALLBACKS = "http://127.0.0.1:3000/auth/tiktok/callback,http://testserver/accounts/tiktok/login/callback/"


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A sandbox, and what makes a client that has TikTok's addresses built in take it for TikTok."""

    visitor: Visitor
    url: str
    env: dict[str, str]


@pytest.fixture
async def stand(start: Start, tmp_path: Path) -> AsyncIterator[Stand]:
    files = Office(tmp_path / "office").files("svc/tiktok", hosts=HOSTS)
    tls = {"SANDBOX_TLS_CERT": str(files.certificate), "SANDBOX_TLS_KEY": str(files.key), "SANDBOX_TLS_PORT": "0"}
    _, line = await start(**tls, SANDBOX_REDIRECT_URIS=CALLBACKS)
    url = f"http://127.0.0.1:{line['port']}"
    tunnel = await serve_tunnel(line["tls_port"])
    proxy = f"http://127.0.0.1:{tunnel.sockets[0].getsockname()[1]}"
    env = {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(files.ca), "REQUESTS_CA_BUNDLE": str(files.ca)}
    async with httpx.AsyncClient(base_url=url) as client:
        yield Stand(visitor=Visitor(client), url=url, env=env)
    tunnel.close()


async def truth(visitor: Visitor, account: str) -> Json:
    answer: Json = (await visitor.client.get(f"/sandbox/truth/{account}")).json()
    return answer


async def test_tiktok_mcp_signs_in_pages_and_refreshes(stand: Stand) -> None:
    await stand.visitor.switch(app_type="desktop")
    shown = await truth(stand.visitor, "store_0003")
    seen = await python_guest("display_mcp.py", **stand.env).visit(stand.visitor, "store_0003")
    assert seen["user"]["open_id"] == seen["user_after"]["open_id"] == shown["open_id"]
    assert [name for page in seen["pages"] for name in page] == [video["id"] for video in shown["videos"]]
    assert len(seen["pages"]) > 1
    assert seen["old_token"].startswith("malformed_token_refresh_response")
    assert (await stand.visitor.ledger())["dead_refresh_tokens_presented"] == 1


async def test_allauth_signs_a_person_in_and_keeps_the_tokens(stand: Stand) -> None:
    shown = await truth(stand.visitor, "store_0004")
    seen = await python_guest("allauth_login.py", **stand.env).visit(stand.visitor, "store_0004")
    assert (seen["status"], seen["uid"]) == (302, shown["open_id"])
    assert seen["profile"]["username"] == "store_0004"
    assert (await stand.visitor.user(seen["access_token"])).status_code == 200
    assert "access_token" in await stand.visitor.refresh(seen["refresh_token"])


async def test_arctic_refreshes_and_revokes(stand: Stand) -> None:
    await stand.visitor.switch(oauth_error_status="4xx")
    seen = await node_guest("arctic_login.mjs", stand.url).visit(stand.visitor, "store_0005")
    assert seen["scopes"] == "user.info.basic,video.list"
    assert 7_000 < seen["expires"] <= 7_200
    assert seen["changed"]
    assert (seen["old"], seen["code"], seen["revoked"]) == ("invalid_grant",) * 3


async def test_tiktok_shop_api_lists_the_shops_of_a_seller(stand: Stand) -> None:
    seen = await python_guest("shop_sdk.py", stand.url).visit(stand.visitor, "seller_0003")
    sellers = (await stand.visitor.client.get("/sandbox/sellers?q=seller_0003")).json()["sellers"]
    assert seen["open_id"] == sellers[0]["open_id"]
    assert {shop["cipher"] for shop in seen["shops"]} == {shop["cipher"] for shop in sellers[0]["shops"]}
    assert seen["expires"][0] - time.time() == pytest.approx(604_800, abs=60)
    assert (seen["code_again"], seen["old_refresh_token"], seen["wrong_token"]) == (36004004, 36004005, 36009004)
