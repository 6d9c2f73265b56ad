from tokhub.audit.v1 import audit_pb2

from tests.gateway.scripted import NEW_YEAR
from tests.gateway.served import ADMIN, READ, Gateway

METHOD = "/tokhub.token.v1.TokenService/GetValidToken"


async def test_a_recorded_call_is_shown_whole(gateway: Gateway) -> None:
    gateway.suite.token_audit.add(
        "operator/alice", METHOD, end_time=NEW_YEAR, outcome="OK", request_json='{"connection":{}}'
    )

    answer = await gateway.client.get("/admin/audit", headers=READ)

    assert answer.json() == {
        "success": True,
        "data": [
            {
                "callId": "0",
                "beginTime": "2026-01-01T00:00:00.000Z",
                "endTime": "2026-01-01T00:00:00.000Z",
                "actor": "operator/alice",
                "method": METHOD,
                "requestJson": '{"connection":{}}',
                "requestId": "r0",
                "outcome": "OK",
            }
        ],
        "count": 1,
        "nextPageToken": None,
    }


async def test_a_call_without_an_end_has_null_for_it(gateway: Gateway) -> None:
    gateway.suite.sync_audit.add("operator/alice", "/a/B")

    (call,) = (await gateway.client.get("/admin/audit?service=sync", headers=ADMIN)).json()["data"]

    assert (call["endTime"], call["outcome"]) == (None, None)


async def test_the_trail_comes_page_by_page_and_by_actor(gateway: Gateway) -> None:
    for actor in ("operator/alice", "operator/bob", "operator/alice"):
        gateway.suite.token_audit.add(actor, METHOD)

    first = (await gateway.client.get("/admin/audit?limit=2", headers=ADMIN)).json()
    rest = (await gateway.client.get(f"/admin/audit?limit=2&page_token={first['nextPageToken']}", headers=ADMIN)).json()
    bob = (await gateway.client.get("/admin/audit?actor=operator/bob", headers=ADMIN)).json()

    assert [call["callId"] for call in first["data"] + rest["data"]] == ["2", "1", "0"]
    assert rest["nextPageToken"] is None
    assert [call["callId"] for call in bob["data"]] == ["1"]


async def test_a_service_that_has_no_trail_is_refused(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/audit?service=gateway", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_page_token_that_is_none_is_the_callers_fault(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/audit?page_token=x", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_verification_is_told_whole(gateway: Gateway) -> None:
    checkpoint = f"7:{'ab' * 32}"
    gateway.suite.token_audit.summary = audit_pb2.AuditSummary(
        whole=True, rows=5, first_sequence=3, checkpoint=checkpoint, unchained_rows=2
    )

    answer = await gateway.client.get(f"/admin/audit/verify?checkpoint={checkpoint}", headers=READ)

    assert answer.json() == {
        "success": True,
        "data": {
            "whole": True,
            "broken": None,
            "rows": 5,
            "firstSequence": 3,
            "checkpoint": checkpoint,
            "unchainedRows": 2,
        },
    }
    assert gateway.suite.token_audit.checkpoint == checkpoint


async def test_a_broken_trail_is_told_by_place_and_kind(gateway: Gateway) -> None:
    broken = audit_pb2.AuditBreak(sequence=42, kind=audit_pb2.AUDIT_BREAK_KIND_EDITED)
    gateway.suite.sync_audit.summary = audit_pb2.AuditSummary(broken=broken, rows=41, first_sequence=1)

    answer = await gateway.client.get("/admin/audit/verify?service=sync", headers=ADMIN)

    data = answer.json()["data"]
    assert (data["whole"], data["broken"], data["checkpoint"]) == (False, {"sequence": 42, "kind": "EDITED"}, None)


async def test_a_checkpoint_that_is_none_is_the_callers_fault(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/audit/verify?checkpoint=7", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_an_actor_that_cannot_be_stored_is_the_callers_fault(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/audit?actor=operator%00", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["message"].split()[0]) == (400, "actor")
