"""Webhooks go through the gateway as they came, and its answers are the ones TikTok understands."""

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, StorageUnavailable, TokhubError, Unauthenticated
from tests.gateway.served import ADMIN, Gateway

LOGIN_KIT, SHOP = "/webhooks/tiktok", "/webhooks/tiktok-shop"


@pytest.mark.parametrize(
    ("path", "header", "provider"),
    [
        (LOGIN_KIT, "Tiktok-Signature", token_pb2.PROVIDER_LOGIN_KIT),
        (SHOP, "Authorization", token_pb2.PROVIDER_TIKTOK_SHOP),
    ],
)
async def test_a_webhook_is_handed_on_byte_by_byte(
    gateway: Gateway, path: str, header: str, provider: token_pb2.Provider.ValueType
) -> None:
    body = b'\xff{ "b":1,\r\n"a":1 }\0'

    answer = await gateway.client.post(path, content=body, headers={header: "t=1,s=abc"})

    assert (answer.status_code, answer.content) == (200, b"")
    (event,) = gateway.suite.connections.events
    assert (event.provider, event.body, event.signature) == (provider, body, "t=1,s=abc")


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unauthenticated(), 401), (InvalidField("body", "must be JSON"), 400), (StorageUnavailable(), 503)],
)
async def test_a_webhook_that_was_not_taken_says_why(gateway: Gateway, error: TokhubError, status: int) -> None:
    gateway.suite.connections.script.fail_next = error

    assert (await gateway.client.post(LOGIN_KIT, content=b"{}")).status_code == status


async def test_a_wrong_signature_is_not_told_to_bring_a_key(gateway: Gateway) -> None:
    gateway.suite.connections.script.fail_next = Unauthenticated()
    wrong_signature = await gateway.client.post(LOGIN_KIT, content=b"{}")
    no_key = await gateway.client.get("/admin/stores")

    assert (wrong_signature.status_code, no_key.status_code) == (401, 401)
    assert "WWW-Authenticate" not in wrong_signature.headers
    assert no_key.headers["WWW-Authenticate"] == "ApiKey"


async def test_wrong_signatures_lock_nobody_out(gateway: Gateway) -> None:
    for _ in range(20):
        gateway.suite.connections.script.fail_next = Unauthenticated()
        assert (await gateway.client.post(SHOP, content=b"{}")).status_code == 401

    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200


async def test_a_body_above_the_limit_goes_nowhere(gateway: Gateway) -> None:
    whole = await gateway.client.post(LOGIN_KIT, content=b"x" * 65_536)
    more = await gateway.client.post(LOGIN_KIT, content=b"x" * 65_537)

    assert (whole.status_code, more.status_code) == (200, 413)
    assert len(gateway.suite.connections.events) == 1


@pytest.mark.parametrize("path", [LOGIN_KIT, SHOP])
async def test_webhooks_are_posted(gateway: Gateway, path: str) -> None:
    answer = await gateway.client.get(path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
