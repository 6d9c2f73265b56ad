"""An authorization that its owner removed at TikTok disconnects its connection, once and for good."""

import asyncio
import contextlib
import time
from datetime import timedelta
from itertools import count

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, ReauthRequired, Unauthenticated
from libs.secret import Secret
from services.token.adapters.login_kit_events import LoginKitEvents
from services.token.domain.connection import Need
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import House, store
from tests.token.event_sender import APPLIED, IGNORED, REPEATED, login_header, removed, send
from tests.token.rpc_client import Client, reference

DISCONNECTED = token_pb2.CONNECTION_STATUS_DISCONNECTED
ACTIVE = token_pb2.CONNECTION_STATUS_ACTIVE


async def look(client: Client, code: str = "shop-1") -> token_pb2.Connection:
    request = token_pb2.GetConnectionRequest(connection=reference(code))
    return (await client.connections.GetConnection(request)).connection


async def test_a_removed_authorization_disconnects_at_once(client: Client) -> None:
    before = await client.connect("shop-1")
    await client.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=reference("shop-1")))

    assert await send(client.connections, removed(before.account_id)) == APPLIED

    after = await look(client)
    assert (after.status, after.reason, after.epoch) == (DISCONNECTED, "removed_by_user", before.epoch + 1)
    with pytest.raises(ReauthRequired):
        await client.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=reference("shop-1")))


async def test_no_token_of_a_removed_authorization_is_kept(client: Client, house: House) -> None:
    account = (await client.connect("shop-1")).account_id
    await send(client.connections, removed(account))

    kept = await house.pool.fetchrow("SELECT access_token, refresh_token FROM connections")
    assert kept is not None
    assert tuple(kept) == (b"", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"reason": 0}', "unknown"),
        ('{"reason": 2}', "account_deleted"),
        ('{"reason": 3}', "age_changed"),
        ('{"reason": 4}', "account_banned"),
        ('{"reason": 5}', "revoked_by_developer"),
        ('{"reason": 6}', "unknown"),
        ("{}", "unknown"),
        ("not JSON", "unknown"),
    ],
)
async def test_the_reason_is_kept_and_told(client: Client, content: str, reason: str) -> None:
    account = (await client.connect("shop-1")).account_id

    await send(client.connections, removed(account, content=content))

    explained = await client.connections.ExplainConnection(
        token_pb2.ExplainConnectionRequest(connection=reference("shop-1"))
    )
    newest = explained.timeline[0]
    assert (newest.kind, newest.reason) == (token_pb2.CONNECTION_EVENT_KIND_DISCONNECTED, reason)
    assert explained.decision == token_pb2.CONNECTION_DECISION_DISCONNECTED


async def test_fifty_at_once_have_one_effect(client: Client) -> None:
    account = (await client.connect("shop-1")).account_id
    body = removed(account)

    outcomes = await asyncio.gather(*(send(client.connections, body) for _ in range(50)))

    assert (outcomes.count(APPLIED), outcomes.count(REPEATED)) == (1, 49)
    assert (await look(client)).epoch == 2


async def test_a_replay_after_a_new_consent_does_nothing(client: Client) -> None:
    name = client.sandbox.next_account()
    account = (await client.connect("shop-1", name)).account_id
    body = removed(account)
    await send(client.connections, body)
    await client.connect("shop-1", name)

    assert await send(client.connections, body) == REPEATED
    assert (await look(client)).status == ACTIVE


async def test_an_event_delayed_past_a_new_consent_does_nothing(client: Client) -> None:
    account = (await client.connect("shop-1")).account_id

    assert await send(client.connections, removed(account, age=72 * 3600)) == IGNORED
    assert (await look(client)).status == ACTIVE


async def test_another_account_and_another_event_change_nothing(client: Client) -> None:
    account = (await client.connect("shop-1")).account_id

    assert await send(client.connections, removed("nobody")) == IGNORED
    assert await send(client.connections, removed(account, event="video.publish.completed")) == IGNORED
    assert (await look(client)).status == ACTIVE


async def test_what_tiktok_did_not_sign_is_refused(client: Client) -> None:
    body = removed((await client.connect("shop-1")).account_id)
    wrong = ["", "t=1,s=00", login_header(body, secret="another"), login_header(body[:-1] + b" "), login_header(b"")]

    for signature in wrong:
        with pytest.raises(Unauthenticated):
            await send(client.connections, body, signature)
    reordered = body.replace(b'{"client_key":"sbawtokhubsandbox",', b"{").replace(
        b"}", b',"client_key":"sbawtokhubsandbox"}'
    )
    with pytest.raises(Unauthenticated):
        await send(client.connections, reordered, login_header(body))

    assert (await look(client)).status == ACTIVE


async def test_an_old_signature_is_told_from_a_wrong_one(client: Client) -> None:
    body = removed("nobody")

    for age in (400, -400, -999_000_000_000 + time.time()):
        with pytest.raises(Unauthenticated, match="five minutes"):
            await send(client.connections, body, login_header(body, age=age))


@pytest.mark.parametrize(("seconds", "good"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_five_minutes_either_way_are_the_edge(seconds: int, good: bool) -> None:
    body = removed("somebody")
    event = LoginKitEvents(secret=Secret(SandboxProcess.client_secret)).read(body, login_header(body))
    assert event.signed_at is not None

    with contextlib.nullcontext() if good else pytest.raises(Unauthenticated, match="five minutes"):
        event.require_recent(event.signed_at + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        removed("x", event=7),
        removed("x", user_openid=None),
        removed("a\0b"),
        removed("x", create_time="soon"),
        removed("x", create_time=True),
        removed("x", create_time=-1),
        removed("x", create_time=10**20),
    ],
    ids=count(),  # the bodies hold the second of their making, which two workers may not share
)
async def test_a_signed_body_without_sense_is_told_as_such(client: Client, body: bytes) -> None:
    with pytest.raises(InvalidField):
        await send(client.connections, body)


async def test_a_refresh_overtaken_by_the_removal_saves_nothing(client: Client, house: House) -> None:
    connection = await house.connect()
    lease = await house.replica().connections.claim(connection.id, Need(min_ttl=60, spent_generation=1), lease=45)
    assert lease is not None
    await send(client.connections, removed(connection.account_id))

    grant = house.provider.mint(connection.account_id)
    sealed = house.vault.seal(grant, connection.id, lease.version.refreshed())

    assert not await house.replica().connections.save(lease, grant, sealed)
    held = await house.replica().connections.find(store("shop-1"))
    assert held is not None
    assert held.connection.status == "DISCONNECTED"


async def test_events_are_forgotten_after_eight_days(client: Client, house: House) -> None:
    body = removed((await client.connect("shop-1")).account_id)
    await send(client.connections, body)
    await house.pool.execute("UPDATE provider_events SET received_at = received_at - interval '7 days'")
    await client.core.chores[0]()
    assert await send(client.connections, body) == REPEATED

    await house.pool.execute("UPDATE provider_events SET received_at = received_at - interval '25 hours'")
    await client.core.chores[0]()

    assert await house.pool.fetchval("SELECT count(*) FROM provider_events") == 0
