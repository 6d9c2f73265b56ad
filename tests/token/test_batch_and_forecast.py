"""BatchGetValidTokens and GetRefreshForecast, through a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.rpc import error_details_pb2
from tokhub.token.v1 import token_pb2

from libs.database.pool import Pool, open_pool
from libs.errors import Internal, InvalidField
from services.token.__main__ import SCHEMA
from services.token.adapters.bulk import PostgresBulk
from services.token.core import batch
from services.token.core.connections import Held
from services.token.core.tokens import ValidToken
from services.token.domain.connection import Need
from tests.token.conftest import House, store
from tests.token.rpc_client import Client, reference


@pytest.fixture
async def rows(token_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(token_dsn, application="test", schema=SCHEMA) as pool:
        yield pool


def want(code: str) -> token_pb2.GetValidTokenRequest:
    return token_pb2.GetValidTokenRequest(connection=reference(code))


async def ask(client: Client, *wanted: token_pb2.GetValidTokenRequest, seconds: float = 20) -> list[str]:
    """Return the owner's result of each item: the name of the reason, or the freshness."""
    request = token_pb2.BatchGetValidTokensRequest(requests=wanted)
    results = (await client.tokens.BatchGetValidTokens(request, timeout=seconds)).results
    return [said_of(result) for result in results]


def said_of(result: token_pb2.TokenResult) -> str:
    if result.WhichOneof("result") == "token":
        return token_pb2.Freshness.Name(result.token.freshness).removeprefix("FRESHNESS_")
    info = error_details_pb2.ErrorInfo()
    result.status.details[0].Unpack(info)
    return str(info.reason)


async def test_one_bad_item_makes_no_other_fail(client: Client, rows: Pool) -> None:
    for code in ("fresh", "due", "refused"):
        await client.connect(code)
    await rows.execute("UPDATE connections SET access_expires_at = now() WHERE owner_id = 'due'")
    await rows.execute("UPDATE connections SET status = 'REAUTH_REQUIRED' WHERE owner_id = 'refused'")
    invalid = token_pb2.GetValidTokenRequest(connection=token_pb2.ConnectionReference(connection_id="x"))

    said = await ask(client, want("refused"), want("fresh"), invalid, want("nobody"), want("due"))

    assert said == ["REAUTH_REQUIRED", "FRESH", "INVALID_FIELD", "CONNECTION_NOT_FOUND", "FRESH"]


async def test_items_are_answered_in_the_order_asked(client: Client) -> None:
    codes = [f"shop-{number}" for number in range(6)]
    accounts = {code: (await client.connect(code)).account_id for code in codes}

    request = token_pb2.BatchGetValidTokensRequest(requests=[want(code) for code in reversed(codes)])
    results = (await client.tokens.BatchGetValidTokens(request)).results

    assert [result.token.account_id for result in results] == [accounts[code] for code in reversed(codes)]


async def test_an_item_asked_for_twice_is_refreshed_once(client: Client, rows: Pool) -> None:
    account = client.sandbox.next_account()
    connection = await client.connect("shop-1", account)
    await rows.execute("UPDATE connections SET access_expires_at = now()")
    by_id = token_pb2.GetValidTokenRequest(
        connection=token_pb2.ConnectionReference(connection_id=connection.id.upper())
    )

    assert await ask(client, want("shop-1"), want("shop-1"), by_id) == ["FRESH"] * 3
    assert client.sandbox.ledger(account)["grants"][0]["refreshes"] == 1


async def test_an_item_that_takes_too_long_holds_nobody_up(client: Client, rows: Pool) -> None:
    account = client.sandbox.next_account()
    await client.connect("slow", account)
    await client.connect("fresh")
    await rows.execute("UPDATE connections SET access_expires_at = now() WHERE owner_id = 'slow'")
    client.sandbox.fault("slow", account, endpoint="token", seconds=3)

    assert await ask(client, want("slow"), want("fresh"), seconds=1.5) == ["DEADLINE_EXCEEDED", "FRESH"]


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_of_none_or_too_many_is_refused(client: Client, count: int) -> None:
    with pytest.raises(InvalidField):
        await ask(client, *(want("shop-1") for _ in range(count)))


async def test_a_thousand_items_are_answered(client: Client) -> None:
    await client.connect("shop-1")

    assert await ask(client, *(want("shop-1") for _ in range(1_000))) == ["FRESH"] * 1_000


async def test_a_token_at_hand_waits_for_nobodys_refresh(
    client: Client, rows: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "AT_ONCE", 1)
    account = client.sandbox.next_account()
    await client.connect("slow", account)
    await client.connect("fresh")
    await rows.execute("UPDATE connections SET access_expires_at = now() WHERE owner_id = 'slow'")
    client.sandbox.fault("slow", account, endpoint="token", seconds=3)

    assert await ask(client, want("slow"), want("fresh"), seconds=1.5) == ["DEADLINE_EXCEEDED", "FRESH"]


def wants(count: int) -> list[batch.Want]:
    return [batch.Want(reference=store(f"shop-{number}"), need=Need(min_ttl=60)) for number in range(count)]


async def test_a_batch_begins_so_many_refreshes_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "AT_ONCE", 2)
    for number in range(4):
        await house.expire(await house.connect(f"shop-{number}"))
    house.provider.gate.clear()
    batches = batch.BatchTokens(rows=PostgresBulk(house.pool), tokens=house.replica().tokens)
    asking = asyncio.create_task(batches.get(wants(4), 20))
    await house.provider.arrived.wait()
    await asyncio.sleep(0.3)
    begun = len(house.provider.presented)
    house.provider.gate.set()

    answers = await asking

    assert begun == 2
    assert [isinstance(answer, ValidToken) and answer.fresh for answer in answers] == [True] * 4


async def test_an_item_that_breaks_off_is_an_error_of_its_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        await house.connect(f"shop-{number}")
    tokens = house.replica().tokens
    meet = tokens.meet

    async def break_one(held: Held, need: Need) -> ValidToken:
        if held.connection.owner.id == "shop-0":
            raise RuntimeError("nobody foresaw this")
        return await meet(held, need)

    monkeypatch.setattr(tokens, "meet", break_one)
    batches = batch.BatchTokens(rows=PostgresBulk(house.pool), tokens=tokens)

    broken, whole = await batches.get(wants(2), 20)

    assert (type(broken), type(whole)) == (Internal, ValidToken)
    assert "foresaw" not in str(broken)


async def forecast(
    client: Client, team_id: int | None = None, provider: token_pb2.Provider.ValueType = token_pb2.PROVIDER_UNSPECIFIED
) -> token_pb2.GetRefreshForecastResponse:
    request = token_pb2.GetRefreshForecastRequest(team_id=team_id, provider=provider)
    return await client.connections.GetRefreshForecast(request)


async def test_a_forecast_counts_ends_by_hour_and_by_week(client: Client, rows: Pool) -> None:
    for code in ("a", "b", "c"):
        await client.connect(code)
    await rows.execute(
        "UPDATE connections SET access_expires_at = now() + interval '150 min', "
        "refresh_expires_at = now() + interval '10 days' WHERE owner_id = 'b'"
    )
    await rows.execute("UPDATE connections SET access_expires_at = now(), refresh_expires_at = NULL WHERE owner_id='c'")

    told = await forecast(client)

    hours = [span.count for span in told.access_ends]
    weeks = [span.count for span in told.consent_ends]
    assert (len(hours), hours[:3], sum(hours)) == (24, [0, 1, 1], 2)
    assert (len(weeks), weeks[1], weeks[25]) == (26, 1, 1)
    assert (told.live, told.access_overdue, told.consent_endless, told.consent_overdue) == (3, 1, 1, 0)
    assert (told.access_later, told.consent_later) == (0, 0)
    assert told.access_ends[1].start_time.seconds - told.access_ends[0].start_time.seconds == 3_600


async def test_a_forecast_counts_what_ends_later(client: Client, rows: Pool) -> None:
    await client.connect("a")
    await rows.execute(
        "UPDATE connections SET access_expires_at = now() + interval '2 days', "
        "refresh_expires_at = now() + interval '300 days'"
    )

    told = await forecast(client)

    assert (told.live, told.access_later, told.consent_later) == (1, 1, 1)


async def test_a_forecast_compares_what_is_needed_with_what_is_done(client: Client) -> None:
    await client.connect("a")
    request = token_pb2.RefreshTokenRequest(connection=reference("a"), request_id="r1")
    await client.tokens.RefreshToken(request)

    told = await forecast(client)

    assert told.refreshes_needed_per_second == pytest.approx(1 / (7_200 * 0.65), rel=0.01)
    assert told.refreshes_measured_per_second == pytest.approx(1 / 3_600)


async def test_a_forecast_of_another_team_is_empty(client: Client) -> None:
    await client.connect("a")

    told = await forecast(client, team_id=9)

    assert (told.live, told.refreshes_needed_per_second, len(told.access_ends)) == (0, 0, 24)


@pytest.mark.parametrize(
    ("status", "live"), [("ACTIVE", 1), ("SUSPECT", 1), ("REAUTH_REQUIRED", 0), ("DISCONNECTED", 0)]
)
async def test_a_forecast_is_of_what_can_be_refreshed(client: Client, rows: Pool, status: str, live: int) -> None:
    await client.connect("a")
    await rows.execute("UPDATE connections SET status = $1, refresh_expires_at = now() - interval '1 day'", status)

    told = await forecast(client)

    assert (told.live, told.consent_overdue, sum(span.count for span in told.access_ends)) == (live, live, live)


async def test_a_forecast_is_of_one_product_and_team_in_all_it_says(client: Client) -> None:
    await client.connect("a")
    await client.tokens.RefreshToken(token_pb2.RefreshTokenRequest(connection=reference("a"), request_id="r1"))

    other_team = await forecast(client, team_id=9)
    other_product = await forecast(client, provider=token_pb2.PROVIDER_TIKTOK_SHOP)
    this = await forecast(client, team_id=1, provider=token_pb2.PROVIDER_LOGIN_KIT)

    said = [(told.live, told.refreshes_measured_per_second > 0) for told in (other_team, other_product, this)]
    assert said == [(0, False), (0, False), (1, True)]


async def test_a_forecast_measures_the_last_hour_only(client: Client, rows: Pool) -> None:
    connection = await client.connect("a")
    for minutes in (59, 61):
        await rows.execute(
            "INSERT INTO connection_events (connection_id, kind, epoch, generation, at) "
            "VALUES ($1, 'REFRESHED', 1, 2, now() - $2 * interval '1 minute')",
            connection.id,
            minutes,
        )

    assert (await forecast(client)).refreshes_measured_per_second == pytest.approx(1 / 3_600)
