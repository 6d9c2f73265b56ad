from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

from tokhub.sync.v1 import report_pb2
from tokhub.token.v1 import token_pb2

from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica
from tests.sync.snapshot_rows import days_ago, period

RUN = """
INSERT INTO reporting.sync_runs (id, job, subject_kind, subject_id, scope_key, state, total, snapshot_date)
VALUES ($1, $2, $3, $4, gen_random_uuid(), 'partial', 1, $5)
"""
ITEM = """
INSERT INTO reporting.sync_items (run_id, job, subject_kind, subject_id, state, outcome, reason, ended_at)
VALUES ($1, $2, 'store', $3, $4, $5, $6, CASE WHEN $5::text IS NOT NULL THEN clock_timestamp() END)
"""


async def ran(suite: LivingSuite, days: int, job: str = "user", only: str | None = None) -> str:
    """Store a run of some days ago, over all stores or one."""
    run_id = str(uuid4())
    await suite.pool.execute(RUN, run_id, job, "store" if only else None, only, days_ago(days))
    return run_id


async def ended(suite: LivingSuite, run_id: str, store: str, outcome: str | None, reason: str = "") -> None:
    state = "ended" if outcome else "queued"
    await suite.pool.execute(ITEM, run_id, "user", store, state, outcome, reason)


async def day(replica: Replica, days: int, job: str = "user") -> report_pb2.Completeness:
    request = report_pb2.ListCompletenessRequest(period=period(days, days))
    found = (await replica.reports.ListCompleteness(request)).days
    assert [one.job for one in found] == ["user", "video"]
    return next(one for one in found if one.job == job)


def missing(found: report_pb2.Completeness) -> Mapping[str, list[str]]:
    assert found.expected == found.done + sum(one.stores for one in found.missing)
    return {one.reason: list(one.store_codes) for one in found.missing}


async def long_ago(suite: LivingSuite, *codes: str) -> None:
    for code in codes:
        await suite.add_store(code)
    await suite.pool.execute("UPDATE reporting.stores SET created_at = now() - interval '100 days'")


async def test_a_day_without_a_run_misses_every_store(suite: LivingSuite, replica: Replica) -> None:
    await long_ago(suite, "a", "b")
    found = await day(replica, 2)
    assert (found.expected, found.done, missing(found)) == (2, 0, {"NOT_RUN": ["a", "b"]})


async def test_what_was_not_connected_is_told_from_what_failed(suite: LivingSuite, replica: Replica) -> None:
    await long_ago(suite, "done", "failed", "open", "stranger")
    run_id = await ran(suite, 2)
    await ended(suite, run_id, "done", "SUCCESS")
    await ended(suite, run_id, "failed", "FAILED", "UPSTREAM_BAD_RESPONSE")
    await ended(suite, run_id, "open", None)
    found = await day(replica, 2)
    assert missing(found) == {
        "UPSTREAM_BAD_RESPONSE": ["failed"],
        "IN_PROGRESS": ["open"],
        "NOT_CONNECTED": ["stranger"],
    }
    assert set(missing(await day(replica, 2, "video"))) == {"NOT_RUN"}


async def test_one_success_of_a_day_is_enough(suite: LivingSuite, replica: Replica) -> None:
    await long_ago(suite, "shop")
    for outcome, reason in (("FAILED", "INTERNAL"), ("SUCCESS", ""), ("SKIPPED", "REAUTH_REQUIRED")):
        await ended(suite, await ran(suite, 2), "shop", outcome, reason)
    assert (await day(replica, 2)).done == 1


async def test_the_last_failure_of_a_day_is_the_reason(suite: LivingSuite, replica: Replica) -> None:
    await long_ago(suite, "shop")
    for reason in ("INTERNAL", "SCOPE_MISSING"):
        await ended(suite, await ran(suite, 2), "shop", "FAILED", reason)
    assert missing(await day(replica, 2)) == {"SCOPE_MISSING": ["shop"]}


async def test_a_run_of_one_store_says_nothing_of_the_others(suite: LivingSuite, replica: Replica) -> None:
    await long_ago(suite, "one", "other")
    await ended(suite, await ran(suite, 2, "all", only="one"), "one", "SUCCESS")
    found = await day(replica, 2)
    assert (found.done, missing(found)) == (1, {"NOT_RUN": ["other"]})


async def test_a_store_is_expected_from_its_first_day_on(suite: LivingSuite) -> None:
    await suite.add_store("shop")
    # Half past midnight in Jakarta is the evening before in UTC.
    born = datetime.combine(days_ago(5), time(17, 30), UTC)
    await suite.pool.execute("UPDATE reporting.stores SET created_at = $1", born)
    async with suite.replica(TZ="Asia/Jakarta") as replica:
        assert [(await day(replica, days)).expected for days in (5, 4)] == [0, 1]
        await suite.pool.execute("UPDATE reporting.stores SET created_at = $1", born - timedelta(hours=1))
        assert (await day(replica, 5)).expected == 1


async def test_codes_of_many_missing_stores_are_cut_short(suite: LivingSuite, replica: Replica) -> None:
    await suite.pool.execute(
        "INSERT INTO reporting.stores (store_code, store_name, pic_name)"
        " SELECT 's' || lpad(n::text, 3, '0'), 'x', 'y' FROM generate_series(1, 150) n"
    )
    (reason,) = (await day(replica, 0)).missing
    assert (reason.stores, len(reason.store_codes), reason.store_codes[0]) == (150, 100, "s001")


async def test_real_runs_are_told_by_their_outcome(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("good")
    await suite.connect("lost")
    await suite.add_store("stranger")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'REAUTH_REQUIRED' WHERE owner_id = 'lost'")
    statuses = [one.status for one in (await suite.connections.ListConnections(LIST)).connections]
    assert token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED in statuses
    await replica.run(JOB_USER)
    assert missing(await day(replica, 0)) == {"NOT_CONNECTED": ["stranger"], "REAUTH_REQUIRED": ["lost"]}
    await replica.run(JOB_ALL, "good")
    assert (await day(replica, 0, "video")).done == 1


LIST = token_pb2.ListConnectionsRequest()
