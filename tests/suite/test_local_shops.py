import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from deploy.local.postgres import DatabaseFiles
from deploy.local.programs import Suite
from deploy.local.secret_files import SecretFiles
from deploy.local.settings import LocalSettings
from libs.rpc.client import open_channel
from libs.settings import parse
from services.token.settings import TokenSettings
from tests.suite.local_suite import SERVING, Home, start

OWNER = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="my_shop")
CONNECTION = token_pb2.ConnectionReference(
    owner_connection=token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_TIKTOK_SHOP, owner=OWNER)
)


async def consent_link(connections: token_pb2_grpc.ConnectionServiceStub) -> str:
    request = token_pb2.StartAuthorizationRequest(
        provider=token_pb2.PROVIDER_TIKTOK_SHOP, owner=OWNER, binding=token_pb2.LINK_BINDING_NONE
    )
    return (await connections.StartAuthorization(request)).authorize_url


async def agree(browser: httpx.AsyncClient, link: str, seller: str) -> httpx.Response:
    """Choose the seller on TikTok's page and follow the way back."""
    page = (await browser.get(link, headers={"Accept": "application/json"})).json()
    form = {"ticket": page["ticket"], "account": seller, "decision": "authorize"}
    return await browser.post(page["consent_url"], data=form, follow_redirects=True)


async def disconnected(connections: token_pb2_grpc.ConnectionServiceStub) -> bool:
    for _ in range(100):
        answer = await connections.GetConnection(token_pb2.GetConnectionRequest(connection=CONNECTION))
        if answer.connection.status == token_pb2.CONNECTION_STATUS_DISCONNECTED:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_a_seller_connects_in_the_browser_until_removing_the_app(home: Home) -> None:
    async with start(home, STORES="0") as suite, httpx.AsyncClient() as browser:
        await suite.until(SERVING)
        async with open_channel(f"127.0.0.1:{home.ports['TOKEN_LISTEN']}") as channel:
            connections = token_pb2_grpc.ConnectionServiceStub(channel)
            came_back = await agree(browser, await consent_link(connections), "seller_0003")
            assert (came_back.status_code, came_back.url.port) == (200, home.ports["PORT"])
            tokens = token_pb2_grpc.TokenServiceStub(channel)
            token = await tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=CONNECTION))
            sellers = (await browser.get(f"{home.sandbox}/sandbox/sellers")).json()["sellers"]
            shops = next(seller["shops"] for seller in sellers if seller["username"] == "seller_0003")
            assert {shop.cipher for shop in token.shops} == {shop["cipher"] for shop in shops}
            await browser.post(f"{home.sandbox}/sandbox/sellers/seller_0003/revoke")
            assert await disconnected(connections)


def test_the_real_shop_app_reaches_the_token_service(tmp_path: Path) -> None:
    environ = {
        "TIKTOK_CLIENT_ID": "awreal",
        "TIKTOK_CLIENT_SECRET": "keep-this",
        "TIKTOK_APP_KEY": "6real",
        "TIKTOK_APP_SECRET": "keep-this-too",
        "TIKTOK_SHOP_SERVICE_ID": "7000000000000000001",
        "STATE_SECRET": "s" * 32,
    }
    (tmp_path / "database").write_text("postgresql://127.0.0.1/x")
    suite = Suite(
        settings=parse(LocalSettings, environ),
        environ=environ,
        files=SecretFiles(tmp_path / "secrets", environ),
        databases=DatabaseFiles(token=tmp_path / "database", sync=tmp_path / "database", gateway=tmp_path / "database"),
    )
    told = suite.token().environment
    settings = parse(TokenSettings, told)
    assert settings.tiktok_shop_app_secret is not None
    assert settings.tiktok_shop_app_secret.reveal() == "keep-this-too"
    assert (settings.tiktok_shop_app_key, settings.tiktok_client_key) == ("6real", "awreal")
    assert urlsplit(settings.tiktok_shop_authorize_url).hostname == "services.tiktokshop.com"
    assert not any("keep-this" in value for value in told.values())
