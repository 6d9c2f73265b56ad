import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import account_pb2

from libs.clock import Clock, SystemClock
from services.gateway.key_sets import FETCH_TIMEOUT, KEYS_LAST, KEYS_LIVE, TRY_EVERY, KeySet, KeySetMetrics
from services.gateway.user_tokens import UserTokens
from tests.gateway.served import ADMIN, Gateway, Limits, ShiftedClock, serve_suite

MINE = "/api/v1/integrations/tiktok/metrics/u-1"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OCTETS = "c2VjcmV0LTAxMjM0NTY3ODktMDEyMzQ1Njc4OS0wMTIzNDU2Nzg5"
UNUSABLE = (
    *(b"<html>", b"[]", b"[" * 100_000, b'{"keys": []}', b'{"keys": [{"kty": "?"}]}'),
    b'{"keys": [{"kty": "oct", "k": "aGk", "kid": ["a list"]}]}',
)


@dataclass
class Publisher:
    """Where the keys are published, and how often they were asked for."""

    body: bytes = b""
    url: str = ""
    fetches: int = 0
    keys: list[dict[str, Any]] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        await self.answers.wait()
        return web.Response(body=self.body or json.dumps({"keys": self.keys}).encode())

    async def lead_on(self, _request: web.Request) -> web.Response:
        raise web.HTTPFound("/keys")


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    publisher = Publisher()
    publisher.answers.set()
    publisher.keys = [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa"},
        {**ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True), "kid": "curve"},
        {"kty": "oct", "k": OCTETS, "kid": "octets"},
    ]
    app = web.Application()
    app.router.add_get("/keys", publisher.answer)
    app.router.add_get("/keys/moved", publisher.lead_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    publisher.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield publisher
    publisher.answers.set()
    await runner.cleanup()


def known_by(url: str, clock: Clock | None = None) -> UserTokens:
    return UserTokens(keys=KeySet(url, clock=clock or SystemClock()))


@pytest.fixture
async def trusting(publisher: Publisher) -> AsyncIterator[Gateway]:
    """A gateway that knows users by the published keys."""
    async with serve_suite(Limits(max_failures=100, tokens=known_by(publisher.url))) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        yield gateway


def header(key: Any, algorithm: str, kid: str | None) -> dict[str, str]:
    claims = {"sub": "u-1", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)
    return {"Authorization": f"Bearer {token}"}


async def status(gateway: Gateway, headers: dict[str, str]) -> int:
    return (await gateway.client.get(MINE, headers=headers)).status_code


async def test_tokens_of_published_keys_are_taken(trusting: Gateway, publisher: Publisher) -> None:
    taken = [header(RSA, "RS256", "rsa"), header(CURVE, "ES256", "curve")]

    assert [await status(trusting, one) for one in taken] == [200, 200]
    assert publisher.fetches == 1


def of_another_key() -> dict[str, str]:
    return header(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", "rsa")


def with_the_public_key_as_secret() -> dict[str, str]:
    token = header("x" * 32, "HS256", "rsa")["Authorization"].removeprefix("Bearer ")
    said = token.rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(said.encode(), PUBLIC)
    return {"Authorization": f"Bearer {said}.{jwt.utils.base64url_encode(signature).decode()}"}


def with_octets() -> dict[str, str]:
    return header(jwt.utils.base64url_decode(OCTETS), "HS256", "octets")


def of_another_algorithm() -> dict[str, str]:
    return header(RSA, "PS256", "rsa")


def naming_another_key() -> dict[str, str]:
    return header(RSA, "RS256", "curve")


def naming_no_key() -> dict[str, str]:
    return header(RSA, "RS256", None)


FORGED = (
    of_another_key,
    with_the_public_key_as_secret,
    with_octets,
    of_another_algorithm,
    naming_another_key,
    naming_no_key,
)


async def test_a_forged_token_is_refused(trusting: Gateway) -> None:
    for forged in FORGED:
        assert await status(trusting, forged()) == 401, forged.__name__


async def test_unknown_key_ids_are_not_asked_for_each_time(trusting: Gateway, publisher: Publisher) -> None:
    assert [await status(trusting, header(RSA, "RS256", f"k{number}")) for number in range(4)] == [401] * 4
    assert publisher.fetches == 1


async def test_keys_come_from_their_address_and_through_no_proxy(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}")
    monkeypatch.setenv("no_proxy", "")
    async with elsewhere, serve_suite(Limits(tokens=known_by(publisher.url))) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        assert await status(gateway, header(RSA, "RS256", "rsa")) == 200


async def test_keys_that_moved_are_not_followed(publisher: Publisher) -> None:
    async with serve_suite(Limits(tokens=known_by(f"{publisher.url}/moved"))) as gateway:
        assert await status(gateway, header(RSA, "RS256", "rsa")) == 503
    assert publisher.fetches == 0


@pytest.mark.parametrize("body", UNUSABLE)
async def test_keys_that_cannot_be_had_are_nobodys_fault(publisher: Publisher, body: bytes) -> None:
    publisher.body = body
    async with serve_suite(Limits(max_failures=1, tokens=known_by(publisher.url))) as gateway:
        assert await status(gateway, header(RSA, "RS256", "rsa")) == 503
        assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200


async def test_the_last_known_keys_are_used_while_none_can_be_had(publisher: Publisher) -> None:
    clock, token = ShiftedClock(), header(RSA, "RS256", "rsa")
    async with serve_suite(Limits(tokens=known_by(publisher.url, clock))) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        known, publisher.body = await status(gateway, token), b"<html>"
        clock.shift = KEYS_LIVE + 1
        later = await status(gateway, token)
        unknown = await status(gateway, header(RSA, "RS256", "new"))
        clock.shift = KEYS_LAST + 1
        assert [known, later, unknown, await status(gateway, token)] == [200, 200, 503, 503]


async def test_a_key_that_was_taken_out_is_refused_in_time(publisher: Publisher) -> None:
    clock, token = ShiftedClock(), header(RSA, "RS256", "rsa")
    async with serve_suite(Limits(tokens=known_by(publisher.url, clock))) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        assert await status(gateway, token) == 200
        del publisher.keys[0]
        clock.shift = KEYS_LIVE + 1
        assert await status(gateway, token) == 401


async def test_nobody_waits_for_an_address_that_is_known_to_be_silent(publisher: Publisher) -> None:
    clock, token = ShiftedClock(), header(RSA, "RS256", "rsa")
    async with serve_suite(Limits(tokens=known_by(publisher.url, clock))) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        publisher.body = b"<html>"
        assert await status(gateway, token) == 503
        publisher.body = b""
        publisher.answers.clear()
        clock.shift = TRY_EVERY + 1
        async with asyncio.timeout(FETCH_TIMEOUT):
            assert [await status(gateway, token) for _ in range(5)] == [503] * 5
        publisher.answers.set()
        async with asyncio.timeout(FETCH_TIMEOUT):
            while await status(gateway, token) != 200:
                pass
    assert publisher.fetches == 2


async def test_the_age_of_the_keys_and_failed_fetches_are_told(publisher: Publisher) -> None:
    clock, registry = ShiftedClock(), CollectorRegistry()
    keys = KeySet(publisher.url, clock=clock)
    registry.register(KeySetMetrics(keys))
    async with serve_suite(Limits(tokens=UserTokens(keys=keys))) as gateway:
        await status(gateway, header(RSA, "RS256", "rsa"))
        clock.shift, publisher.body = KEYS_LIVE + 1, b"<html>"
        await status(gateway, header(RSA, "RS256", "rsa"))

    told = [
        registry.get_sample_value("tokhub_user_keys_fetches_total", {"outcome": end}) for end in ("fetched", "failed")
    ]
    assert told == [1, 1]
    assert KEYS_LIVE < (registry.get_sample_value("tokhub_user_keys_age_seconds") or 0) < KEYS_LIVE + 100
