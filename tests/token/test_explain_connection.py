"""ExplainConnection: how a connection stands, what comes next, and what happened."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tokhub.token.v1 import token_pb2

from libs.database.pool import Pool, open_pool
from libs.errors import ConnectionNotFound, InvalidField
from services.token.__main__ import SCHEMA
from services.token.adapters.timeline_rows import PostgresTimeline
from services.token.core.retention import MOST, Retention
from tests.token.conftest import House
from tests.token.rpc_client import Client, reference


@pytest.fixture
async def rows(token_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(token_dsn, application="test", schema=SCHEMA) as pool:
        yield pool


async def explain(client: Client, page_size: int = 0, page_token: str = "") -> token_pb2.ExplainConnectionResponse:
    request = token_pb2.ExplainConnectionRequest(
        connection=reference("shop-1"), page_size=page_size, page_token=page_token
    )
    return await client.connections.ExplainConnection(request)


async def refresh(client: Client, request_id: str) -> None:
    request = token_pb2.RefreshTokenRequest(connection=reference("shop-1"), request_id=request_id)
    await client.tokens.RefreshToken(request)


async def test_a_new_connection_is_healthy_until_half_of_its_life(client: Client) -> None:
    connection = await client.connect("shop-1")

    told = await explain(client)

    assert (told.decision, told.next_action) == (
        token_pb2.CONNECTION_DECISION_HEALTHY,
        token_pb2.NEXT_ACTION_REFRESH,
    )
    assert 3_500 < told.next_action_time.seconds - connection.connect_time.seconds <= 3_600
    assert [event.message for event in told.timeline] == ["The account was connected."]


@pytest.mark.parametrize(
    ("change", "decision", "action"),
    [
        ("access_expires_at = now()", "REFRESH_DUE", "REFRESH"),
        ("next_attempt_at = now() + interval '1 minute'", "WAITING", "REFRESH"),
        ("status = 'SUSPECT', reason = 'lost_response'", "WAITING", "REFRESH"),
        ("status = 'REAUTH_REQUIRED', reason = 'refused'", "NEEDS_CONSENT", "CONNECT_AGAIN"),
        ("status = 'SUSPECT', reason = 'unreadable'", "NEEDS_CONSENT", "CONNECT_AGAIN"),
        ("refresh_expires_at = now()", "NEEDS_CONSENT", "CONNECT_AGAIN"),
        ("status = 'DISCONNECTED'", "DISCONNECTED", "CONNECT_AGAIN"),
    ],
)
async def test_every_state_has_a_decision_and_a_next_action(
    client: Client, rows: Pool, change: str, decision: str, action: str
) -> None:
    await client.connect("shop-1")
    await rows.execute(f"UPDATE connections SET {change}")

    told = await explain(client)

    assert token_pb2.ConnectionDecision.Name(told.decision) == f"CONNECTION_DECISION_{decision}"
    assert token_pb2.NextAction.Name(told.next_action) == f"NEXT_ACTION_{action}"
    assert told.HasField("next_action_time") == (action == "REFRESH")
    assert told.explanation.endswith(".")


async def test_the_timeline_is_paged_newest_first(client: Client) -> None:
    await client.connect("shop-1")
    await refresh(client, "r1")

    first = await explain(client, page_size=2)
    last = await explain(client, page_size=2, page_token=first.next_page_token)

    kinds = [token_pb2.ConnectionEventKind.Name(event.kind)[22:] for page in (first, last) for event in page.timeline]
    assert kinds == ["REFRESHED", "REFRESH_INTENT", "CONNECTED"]
    assert not last.next_page_token


async def test_a_timeline_is_of_one_connection_and_its_last_page_is_the_last(client: Client) -> None:
    for code in ("shop-0", "shop-1", "shop-2"):
        await client.connect(code)

    told = await explain(client, page_size=1)

    assert ([event.message for event in told.timeline], told.next_page_token) == (["The account was connected."], "")


async def test_a_consent_that_ends_soon_is_said_with_its_end(client: Client, rows: Pool) -> None:
    await client.connect("shop-1")
    await rows.execute("UPDATE connections SET reason = 'expiring', refresh_expires_at = '2099-01-02 03:04:05Z'")

    assert (
        "consent ends at 2099-01-02 03:04:05 UTC: connect it again before that" in (await explain(client)).explanation
    )


async def test_a_pause_is_said_with_its_end(client: Client, rows: Pool) -> None:
    await client.connect("shop-1")
    await rows.execute("UPDATE connections SET next_attempt_at = now() + interval '1 hour'")

    told = await explain(client)

    assert abs(told.next_action_time.seconds - told.connection.update_time.seconds - 3_600) < 60
    assert "the next one is allowed from" in told.explanation


async def test_a_refused_connection_says_so_in_words(client: Client) -> None:
    account = client.sandbox.next_account()
    await client.connect("shop-1", account)
    client.sandbox.control.post(f"/sandbox/accounts/{account}/revoke").raise_for_status()
    with pytest.raises(Exception, match="connected again"):
        await refresh(client, "r1")

    told = await explain(client)

    assert "TikTok refused the refresh token" in told.explanation
    assert "TikTok refused the refresh token" in told.timeline[1].message


async def test_a_connection_that_may_do_less_says_so_in_words(client: Client, rows: Pool) -> None:
    await client.connect("shop-1")
    await rows.execute("UPDATE connections SET scopes = array_append(scopes, 'video.publish')")
    await refresh(client, "r1")

    told = await explain(client)

    assert "taken back some of what its owner had granted" in told.explanation
    assert "may do less than before" in told.timeline[0].message


async def test_an_unknown_connection_cannot_be_explained(client: Client) -> None:
    with pytest.raises(ConnectionNotFound):
        await explain(client)


async def test_a_page_token_of_another_list_is_refused(client: Client) -> None:
    with pytest.raises(InvalidField):
        await explain(client, page_token="x")


async def test_events_too_old_are_forgotten_in_bounded_steps(house: House) -> None:
    connection = await house.connect()
    add = (
        "INSERT INTO connection_events (connection_id, at, kind, epoch, generation) "
        "SELECT $1, now() - interval '91 days', 'REFRESHED', 1, 1 FROM generate_series(1, $2)"
    )
    await house.pool.execute(add, connection.id, MOST + 1)
    retention = Retention(rows=PostgresTimeline(house.pool), age=timedelta(days=90))

    assert await retention.sweep() == MOST + 1
    assert await house.pool.fetchval("SELECT count(*) FROM connection_events") == 1
