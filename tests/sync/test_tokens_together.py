"""Tokens are asked for together; what one store's token needs keeps no other store waiting."""

from datetime import timedelta

from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_USER, LivingSuite, Replica

EXPIRE = "UPDATE credentials.connections SET access_expires_at = clock_timestamp() WHERE owner_id = $1"
ENDED = "SELECT subject_id, ended_at FROM reporting.sync_items"


async def test_a_token_that_is_refreshed_first_keeps_no_other_waiting(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    await suite.pool.execute(EXPIRE, "store_001")
    suite.fault("latency", "store_001", endpoint="token", seconds=4)
    end = await replica.run(JOB_USER)
    assert (end.state, end.succeeded) == (sync_pb2.RUN_STATE_SUCCEEDED, 3)
    ended = {row["subject_id"]: row["ended_at"] for row in await suite.pool.fetch(ENDED)}
    assert ended["store_001"] - ended["store_000"] > timedelta(seconds=1)
    assert ended["store_001"] - ended["store_002"] > timedelta(seconds=1)
    assert suite.sandbox.ledger(suite.accounts["store_001"])["refreshes"] == 1


async def test_an_account_that_must_connect_again_is_skipped_among_others(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    await suite.pool.execute(EXPIRE, "store_001")
    suite.sandbox.control.post(f"/sandbox/accounts/{suite.accounts['store_001']}/revoke").raise_for_status()
    end = await replica.run(JOB_USER)
    assert (end.succeeded, end.skipped) == (2, 1)
    [skipped] = [store for store in end.ended_stores if store.reason]
    assert (skipped.store_code, skipped.reason) == ("store_001", "REAUTH_REQUIRED")
