import pytest
from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_USER, JOB_VIDEO, LivingSuite, Replica

# What a sequence has counted is not undone with the statement that failed.
CONFLICTS = """
CREATE SEQUENCE reporting.conflicts;
CREATE FUNCTION reporting.conflict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('reporting.conflicts') <= 2 THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER conflict BEFORE INSERT ON reporting.{} FOR EACH ROW EXECUTE FUNCTION reporting.conflict();
"""


@pytest.mark.parametrize(
    ("job", "table"), [(JOB_USER, "tiktok_user_daily"), (JOB_VIDEO, "tiktok_video_daily"), (JOB_USER, "sync_logs")]
)
async def test_a_conflict_with_others_costs_no_attempt(
    suite: LivingSuite, replica: Replica, job: sync_pb2.Job.ValueType, table: str
) -> None:
    await suite.connect_busy("shop", pages=1)
    await suite.pool.execute(CONFLICTS.format(table))
    end = await replica.run(job, "shop")
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert await suite.pool.fetchval("SELECT fence FROM reporting.sync_items") == 1
