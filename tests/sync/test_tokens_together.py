"""Tokens are asked for together; what one store's token needs keeps no other store waiting."""

from datetime import timedelta
from uuid import UUID, uuid5

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.rpc.client import open_channel
from services.sync.adapters.token_service import reference_to
from services.sync.domain.subjects import Subject
from tests.sync.living_suite import JOB_REFRESH, JOB_USER, LivingSuite, Replica

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


async def test_what_an_attempt_before_has_refreshed_counts_as_refreshed(suite: LivingSuite) -> None:
    await suite.connect("shop")
    await suite.pool.execute(EXPIRE, "shop")
    async with suite.replica() as starter:
        starter.stop.set()
        run = await starter.start(JOB_REFRESH)
    await suite.pool.execute("UPDATE reporting.sync_items SET attempt = 1")
    async with open_channel(suite.token_target) as channel:
        await token_pb2_grpc.TokenServiceStub(channel).RefreshToken(
            token_pb2.RefreshTokenRequest(
                connection=reference_to(Subject.store("shop")),
                request_id=str(uuid5(UUID(run.id), "store:shop")),
                rule=token_pb2.REFRESH_RULE_WHEN_DUE,
            )
        )
    async with suite.replica() as replica:
        end = await replica.end_of(run.id)
    assert [job.refreshed for job in end.jobs] == [1]
    assert suite.sandbox.ledger(suite.accounts["shop"])["refreshes"] == 1
