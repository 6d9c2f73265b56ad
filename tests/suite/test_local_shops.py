import asyncio

import httpx
from tokhub.token.v1 import token_pb2, token_pb2_grpc

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
        async with home.channel("TOKEN_LISTEN") as channel:
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
