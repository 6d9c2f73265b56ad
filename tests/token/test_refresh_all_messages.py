"""RefreshAll as its callers see it: what they may ask for, and what each message tells."""

import pytest
from google.protobuf.duration_pb2 import Duration
from tokhub.token.v1 import token_pb2

from tests.token.conftest import House
from tests.token.rpc_client import Client, reference
from tests.token.shop_client import STORE, Shops
from tests.token.test_refresh_all import counts, replica


async def told(client: Client, request: token_pb2.RefreshAllRequest) -> list[token_pb2.RefreshedConnection]:
    return [news.ended async for news in client.tokens.RefreshAll(request) if news.HasField("ended")]


async def test_a_part_tells_its_connection_and_what_is_left_of_its_token(client: Client) -> None:
    connection = await client.connect("shop-1")

    (ended,) = await told(client, token_pb2.RefreshAllRequest(force=True))

    assert (ended.connection_id, ended.number, ended.owner.id) == (connection.id, connection.number, "shop-1")
    assert (ended.name, ended.team_id, ended.provider) == ("shop-1", 1, token_pb2.PROVIDER_LOGIN_KIT)
    assert ended.hours_left == pytest.approx(2, abs=0.05)
    found = await client.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference("shop-1")))
    assert abs(ended.access_expire_time.seconds - found.connection.access_expire_time.seconds) <= 1


async def test_a_part_of_a_seller_names_its_shops(shops: Shops) -> None:
    connection = await shops.connect("seller", shops.sandbox.next_seller(shops=3), kind=STORE)

    stream = shops.tokens.RefreshAll(token_pb2.RefreshAllRequest(force=True))
    (ended,) = [news.ended async for news in stream if news.HasField("ended")]

    assert list(ended.shop_numbers) == [shop.number for shop in connection.shops]
    assert ended.name == ", ".join(shop.name for shop in connection.shops)


@pytest.mark.parametrize(
    "request_",
    [
        token_pb2.RefreshAllRequest(force=True, team_id=9),
        token_pb2.RefreshAllRequest(force=True, provider=token_pb2.PROVIDER_TIKTOK_SHOP),
        token_pb2.RefreshAllRequest(force=True, team_id=9, dry_run=True),
        token_pb2.RefreshAllRequest(force=True, provider=token_pb2.PROVIDER_TIKTOK_SHOP, dry_run=True),
    ],
)
async def test_others_than_those_asked_for_are_left_alone(
    client: Client, request_: token_pb2.RefreshAllRequest
) -> None:
    await client.connect("shop-1")

    assert await told(client, request_) == []


async def test_a_caller_may_name_the_margin(client: Client) -> None:
    await client.connect("shop-1")
    within = token_pb2.RefreshAllRequest(within=Duration(seconds=60))

    (ended,) = await told(client, within)

    assert (ended.outcome, ended.reason) == (token_pb2.REFRESH_OUTCOME_SKIPPED, "NOT_DUE")


async def test_runs_are_forgotten_after_a_day(house: House) -> None:
    await house.connect()
    async with replica(house) as one:
        await one.ask()
        await house.pool.execute("UPDATE refresh_runs SET ended_at = ended_at - interval '25 hours'")
        assert counts(await one.ask()) == (1, 0, 1, 0)

    assert await house.pool.fetchval("SELECT count(*) FROM refresh_runs") == 1
    assert await house.pool.fetchval("SELECT count(*) FROM refresh_outcomes") == 1
