from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.token.v1 import token_pb2

from services.gateway.openapi import shapes
from tests.gateway.served import READ, Gateway

CONNECTIONS = "/admin/connections"
AT_TWO = Timestamp(seconds=1_769_220_000, nanos=123_000_000)


async def test_connections_are_listed_page_by_page(gateway: Gateway) -> None:
    for number in (1, 2, 3):
        gateway.suite.connections.connect(f"s{number}", number)

    first = (await gateway.client.get(CONNECTIONS, params={"limit": 2}, headers=READ)).json()
    rest = {"limit": 2, "page_token": first["nextPageToken"]}
    last = (await gateway.client.get(CONNECTIONS, params=rest, headers=READ)).json()

    assert [one["number"] for page in (first, last) for one in page["data"]] == [1, 2, 3]
    assert (first["count"], last["count"], last["nextPageToken"]) == (2, 1, None)


async def test_a_connection_is_told_field_by_field(gateway: Gateway) -> None:
    shops = [token_pb2.Shop(id="7494", number=1, name="One", region="GB", seller_type="LOCAL", cipher="c")]
    made = gateway.suite.connections.connect("s1", 1, generation=3, epoch=2, team_id=4, shops=shops)

    (shown,) = (await gateway.client.get(CONNECTIONS, headers=READ)).json()["data"]

    assert shown == {
        "id": made.id,
        "number": 1,
        "provider": "LOGIN_KIT",
        "owner": {"kind": "STORE", "id": "s1"},
        "teamId": 4,
        "accountId": "open_s1",
        "status": "ACTIVE",
        "reason": "",
        "scopes": [],
        "epoch": 2,
        "generation": 3,
        "accessExpireTime": "2026-01-25T10:00:00.000Z",
        "refreshExpireTime": None,
        "connectTime": "2026-01-02T10:00:00.000Z",
        "updateTime": "2026-01-24T02:00:00.000Z",
        "hoursLeft": 1.5,
        "needsRefresh": False,
        "shops": [{"id": "7494", "number": 1, "name": "One", "region": "GB", "sellerType": "LOCAL"}],
    }


async def test_of_tokens_that_are_gone_no_end_is_told(gateway: Gateway) -> None:
    gone = token_pb2.CONNECTION_STATUS_DISCONNECTED
    gateway.suite.connections.connect("s1", 1, status=gone, access_expire_time=None, hours_left=None)

    (shown,) = (await gateway.client.get(CONNECTIONS, headers=READ)).json()["data"]

    assert (shown["status"], shown["accessExpireTime"], shown["hoursLeft"]) == ("DISCONNECTED", None, None)


async def test_a_connection_is_explained(gateway: Gateway) -> None:
    made = gateway.suite.connections.connect("s1", 1)
    gateway.suite.connections.explanation = token_pb2.ExplainConnectionResponse(
        connection=made,
        decision=token_pb2.CONNECTION_DECISION_NEEDS_CONSENT,
        explanation="Connect it again.",
        timeline=[token_pb2.ConnectionEvent(id=7, time=AT_TWO, kind=token_pb2.CONNECTION_EVENT_KIND_REFRESHED)],
    )

    shown: dict[str, Any] = (await gateway.client.get(f"{CONNECTIONS}/{made.id}", headers=READ)).json()["data"]

    assert set(shown) == set(shapes.EXPLANATION)
    assert (shown["decision"], shown["nextAction"], shown["nextActionTime"]) == ("NEEDS_CONSENT", None, None)
    assert (shown["timeline"][0]["kind"], shown["timeline"][0]["time"]) == ("REFRESHED", "2026-01-24T02:00:00.123Z")


async def test_a_connection_nobody_has_is_not_found(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"{CONNECTIONS}/{uuid4()}", headers=READ)
    wrong = await gateway.client.get(f"{CONNECTIONS}/1", headers=READ)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CONNECTION_NOT_FOUND")
    assert wrong.status_code == 400


async def test_what_is_to_come_is_told(gateway: Gateway) -> None:
    span = token_pb2.ForecastSpan(start_time=AT_TWO, count=4)
    gateway.suite.connections.forecast = token_pb2.GetRefreshForecastResponse(
        time=AT_TWO, live=5, access_ends=[span], consent_endless=1
    )

    shown = (await gateway.client.get("/admin/forecast", headers=READ)).json()["data"]

    assert set(shown) == set(shapes.FORECAST)
    assert shown["accessEnds"] == [{"startTime": "2026-01-24T02:00:00.123Z", "count": 4}]
    assert (shown["live"], shown["consentEndless"], shown["consentEnds"]) == (5, 1, [])
