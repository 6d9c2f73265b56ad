"""What a key may not do is reported to the audit trail, and refused either way."""

from libs.errors import StorageUnavailable
from libs.rpc.denials import AGAIN, EVERY
from tests.gateway.served import ADMIN, READ, Gateway

RUN, STORE = "/admin/sync/run", "/admin/stores/shop_1"


async def refused(gateway: Gateway, times: int = 1, path: str = RUN) -> None:
    for _ in range(times):
        answer = await gateway.client.request("DELETE" if path == STORE else "POST", path, headers=READ, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_what_a_reading_key_may_not_do_is_reported_by_its_route(gateway: Gateway) -> None:
    await refused(gateway, path=STORE)
    assert gateway.suite.token_audit.denials == [("DELETE /admin/stores/{store_code}", 0)]


async def test_many_attempts_are_one_report_and_counted_in_the_next(gateway: Gateway) -> None:
    await refused(gateway, 3)
    gateway.clock.shift = EVERY
    await refused(gateway)
    assert gateway.suite.token_audit.denials == [("POST /admin/sync/run", 0), ("POST /admin/sync/run", 2)]


async def test_a_report_that_fails_changes_no_answer(gateway: Gateway) -> None:
    gateway.suite.token_audit.failure = StorageUnavailable()
    await refused(gateway)


async def test_a_report_that_failed_is_made_again_soon(gateway: Gateway) -> None:
    gateway.suite.token_audit.failure = StorageUnavailable()
    await refused(gateway, 2)
    gateway.suite.token_audit.failure = None
    gateway.clock.shift = AGAIN
    await refused(gateway, 2)
    assert gateway.suite.token_audit.denials == [("POST /admin/sync/run", 2)]


async def test_what_is_allowed_is_not_reported(gateway: Gateway) -> None:
    await gateway.client.get("/admin/stores", headers=READ)
    await gateway.client.delete("/admin/stores/nobody", headers=ADMIN)
    assert gateway.suite.token_audit.denials == []
