import json
from typing import Any

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import UpstreamUnavailable
from tests.gateway.served import ADMIN, READ, Gateway
from tests.gateway.watching import Events

PATH = "/api/tiktok/refresh-all-tokens"
DONE, SKIPPED, FAILED = (
    token_pb2.REFRESH_OUTCOME_REFRESHED,
    token_pb2.REFRESH_OUTCOME_SKIPPED,
    token_pb2.REFRESH_OUTCOME_FAILED,
)


def ended(outcome: token_pb2.RefreshOutcome.ValueType, *numbers: int, **values: Any) -> token_pb2.RefreshedConnection:
    return token_pb2.RefreshedConnection(outcome=outcome, shop_numbers=numbers, **values)


async def test_each_shop_is_told_by_its_number(gateway: Gateway) -> None:
    both = gateway.suite.connections.connect(
        "u-1",
        7,
        provider=token_pb2.PROVIDER_TIKTOK_SHOP,
        shops=[token_pb2.Shop(number=3, name="Three"), token_pb2.Shop(number=4, name="Four")],
    )
    gateway.suite.tokens.ended = [
        ended(SKIPPED, 3, 4, connection_id=both.id, name="Three, Four", reason="NOT_DUE"),
        ended(FAILED, 2, name="HIM CLINIC", reason="REAUTH_REQUIRED", message="connect it again"),
        ended(DONE, 1, name="DrSamhanWellness"),
    ]

    answer = await gateway.client.post(PATH, headers=ADMIN)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "summary": {"total": 4, "successful": 3, "failed": 1},
        "results": [
            {"shopNumber": 1, "shopName": "DrSamhanWellness", "success": True},
            {
                "shopNumber": 2,
                "shopName": "HIM CLINIC",
                "success": False,
                "error": "REAUTH_REQUIRED: connect it again",
            },
            {"shopNumber": 3, "shopName": "Three", "success": True, "skipped": True},
            {"shopNumber": 4, "shopName": "Four", "success": True, "skipped": True},
        ],
    }


async def test_what_is_asked_for_reaches_the_token_service(gateway: Gateway) -> None:
    await gateway.client.post(PATH, headers=ADMIN)
    await gateway.client.post(PATH, params={"force": "true", "dry_run": "true", "team_id": "7"}, headers=ADMIN)

    shop = token_pb2.PROVIDER_TIKTOK_SHOP
    assert gateway.suite.tokens.all_asked == [
        token_pb2.RefreshAllRequest(provider=shop),
        token_pb2.RefreshAllRequest(provider=shop, force=True, dry_run=True, team_id=7),
    ]


@pytest.mark.parametrize("query", ["force=1", "dry_run=yes", "team_id=-1", "team_id=x"])
async def test_what_cannot_be_asked_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.post(f"{PATH}?{query}", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_refresh_that_cannot_begin_is_told(gateway: Gateway) -> None:
    gateway.suite.tokens.script.fail_next = UpstreamUnavailable("Away.")

    answer = await gateway.client.post(PATH, headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UPSTREAM_UNAVAILABLE")


async def test_a_read_key_refreshes_nothing(gateway: Gateway) -> None:
    assert (await gateway.client.post(PATH, headers=READ)).status_code == 403
    assert not gateway.suite.tokens.all_asked


async def test_shops_are_told_one_by_one_as_events(gateway: Gateway) -> None:
    gateway.suite.tokens.ended = [
        ended(DONE, 1, name="One", hours_left=1.5),
        ended(FAILED, 2, name="Two", reason="REAUTH_REQUIRED", message="connect it again"),
    ]

    async with gateway.client.stream("POST", PATH, headers=ADMIN | {"Accept": "text/event-stream"}) as answer:
        events = Events(answer)
        blocks = [block for block in [await events.block() for _ in range(4)] if "data" in block]

    assert [block["event"] for block in blocks] == ["shop", "shop", "summary"]
    assert [json.loads(block["data"]) for block in blocks] == [
        {"shopNumber": 1, "shopName": "One", "success": True, "hoursLeft": 1.5},
        {
            "shopNumber": 2,
            "shopName": "Two",
            "success": False,
            "error": "REAUTH_REQUIRED: connect it again",
            "hoursLeft": 0.0,
        },
        {"total": 2, "successful": 1, "failed": 1},
    ]
