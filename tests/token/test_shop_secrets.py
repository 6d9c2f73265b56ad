"""What a token service says while it deals with TikTok Shop, whose token calls carry secrets in their address."""

import asyncio

import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import TokhubError
from libs.rpc.client import open_channel
from tests.fixtures_sandbox import SandboxProcess
from tests.token.shop_client import SHOP, USER
from tests.token.token_process import environment, running


async def test_no_log_line_of_a_shop_holds_a_secret(token_dsn: str, sandbox: SandboxProcess) -> None:
    seller = sandbox.next_seller()
    environ = environment(token_dsn, sandbox) | {"LOG_LEVEL": "debug"}
    async with running(environ) as service, open_channel(service.target) as channel:
        connections = token_pb2_grpc.ConnectionServiceStub(channel)
        link = await connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=SHOP,
                owner=token_pb2.Owner(kind=USER, id="user-1"),
                binding=token_pb2.LINK_BINDING_NONE,
            )
        )
        came_back = await asyncio.to_thread(sandbox.agree, link.authorize_url, seller)
        request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        connection = (await connections.CompleteAuthorization(request)).connection
        sandbox.fault("html", seller, endpoint="shop_token")
        reference = token_pb2.ConnectionReference(connection_id=connection.id)
        with pytest.raises(TokhubError):
            await token_pb2_grpc.TokenServiceStub(channel).RefreshToken(
                token_pb2.RefreshTokenRequest(connection=reference, request_id="r1")
            )
        await service.end()

    assert any("RefreshToken" in line for line in service.lines)
    assert not [line for line in service.lines if "CNRY" in line or sandbox.shop_app_secret in line]
