from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, StoreExists, StoreNotFound
from libs.tiktok.display_objects import LARGEST_COUNT, LONGEST_ID
from services.sync.core.calendar import Calendar
from services.sync.servicers.page_tokens import store_behind, store_token, video_position
from tests.sync.living_suite import JOB_USER, LivingSuite, Replica
from tests.sync.snapshot_rows import video

INSERT_VIDEO = """
INSERT INTO reporting.tiktok_video_daily (subject_kind, subject_id, snapshot_date, video_id, view_count, fetched_at)
VALUES ($1, 'shop', $2, $3, $4, now())
"""

TABLES = """
SELECT string_agg(format('%I.%I', schemaname, tablename), ', ' ORDER BY schemaname, tablename) FROM pg_tables
WHERE schemaname IN ('credentials', 'reporting')
"""


def draft(code: str, *, pic_contact: str | None = None, team_id: int | None = None) -> sync_pb2.CreateStoreRequest:
    return sync_pb2.CreateStoreRequest(
        store_code=code, store_name="Shop", pic_name="Sri", pic_contact=pic_contact, team_id=team_id
    )


async def test_a_store_is_created_and_shown(replica: Replica) -> None:
    created = (await replica.stores.CreateStore(draft("shop-1", pic_contact="sri@example.com"))).store
    shown = (await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop-1"))).store
    assert shown == created
    assert (shown.team_id, shown.pic_contact) == (1, "sri@example.com")
    assert not shown.HasField("latest_user_stats")
    assert not shown.HasField("last_sync_time")


async def test_looking_at_a_store_writes_nothing(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    async with suite.pool.acquire() as connection, connection.transaction():
        # Whoever reads goes on, whoever writes waits and fails.
        await connection.execute(f"LOCK TABLE {await connection.fetchval(TABLES)} IN EXCLUSIVE MODE")
        shown = await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop"))
        listed = await suite.connections.ListConnections(token_pb2.ListConnectionsRequest(owner_ids=["shop"]))
    assert (shown.store.store_code, len(listed.connections)) == ("shop", 1)


async def test_an_absent_contact_stays_absent(replica: Replica) -> None:
    created = (await replica.stores.CreateStore(draft("shop"))).store
    assert not created.HasField("pic_contact")


async def test_a_code_is_taken_once(replica: Replica) -> None:
    await replica.stores.CreateStore(draft("shop"))
    with pytest.raises(StoreExists):
        await replica.stores.CreateStore(draft("shop"))


async def test_an_archived_store_is_gone_until_created_again(suite: LivingSuite, replica: Replica) -> None:
    await replica.stores.CreateStore(draft("shop"))
    await suite.pool.execute("UPDATE reporting.stores SET archived_at = now()")
    with pytest.raises(StoreNotFound):
        await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop"))
    assert (await replica.stores.CreateStore(draft("shop", team_id=7))).store.team_id == 7


@pytest.mark.parametrize("code", ["", "with space", "x" * 51, "ü", "a/b"])
async def test_a_code_of_other_characters_is_refused(replica: Replica, code: str) -> None:
    with pytest.raises(InvalidField, match="store_code"):
        await replica.stores.CreateStore(draft(code))


async def test_stores_are_listed_page_by_page(suite: LivingSuite, replica: Replica) -> None:
    codes = [f"{number}".rjust(50, "s") for number in range(7)]
    for code in codes:
        await suite.add_store(code)
    seen, token, pages = [], "", 0
    while token or not pages:
        answer = await replica.stores.ListStores(sync_pb2.ListStoresRequest(page_size=3, page_token=token))
        seen += [store.store_code for store in answer.stores]
        token, pages = answer.next_page_token, pages + 1
    assert (seen, pages) == (codes, 3)


@pytest.mark.parametrize("token", ["x", "AAAA", "not base64!", "WyJ2aWRlb3MiXQ", "W10"])
async def test_a_wrong_page_token_is_named(replica: Replica, token: str) -> None:
    with pytest.raises(InvalidField, match="page_token"):
        await replica.stores.ListStores(sync_pb2.ListStoresRequest(page_token=token))


async def test_the_longest_page_tokens_are_accepted(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    today = datetime.now(UTC).date()
    for first in "ab":
        await suite.pool.execute(INSERT_VIDEO, "store", today, first.ljust(LONGEST_ID, "x"), 1)
    request = sync_pb2.ListVideoStatsRequest(store_code="shop", page_size=1)
    request.page_token = (await replica.stats.ListVideoStats(request)).next_page_token
    assert len((await replica.stats.ListVideoStats(request)).stats) == 1


def test_page_tokens_of_another_list_are_refused() -> None:
    token = store_token("shop")
    assert store_behind(token) == "shop"
    with pytest.raises(InvalidField):
        video_position(token)


async def test_videos_are_listed_newest_day_first(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    today = datetime.now(UTC).date()
    for age in range(3):
        for name in ("c", "a", "b"):
            await suite.pool.execute(INSERT_VIDEO, "store", today - timedelta(days=age), name, 10)
    await suite.pool.execute(INSERT_VIDEO, "user", today, "of a creator", 10)
    seen, token = [], ""
    while True:
        request = sync_pb2.ListVideoStatsRequest(store_code="shop", days=2, page_size=4, page_token=token)
        answer = await replica.stats.ListVideoStats(request)
        seen += [(row.snapshot_date, row.video_id) for row in answer.stats]
        token = answer.next_page_token
        if not token:
            break
    days = [today, today - timedelta(days=1)]
    assert seen == [(day.isoformat(), name) for day in days for name in "abc"]


async def test_the_newest_day_of_videos_is_added_up(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    today = datetime.now(UTC).date()
    await suite.pool.execute(INSERT_VIDEO, "store", today - timedelta(days=1), "old", 1_000)
    await suite.pool.execute(INSERT_VIDEO, "store", today, "a", 10)
    await suite.pool.execute(INSERT_VIDEO, "store", today, "b", None)
    store = (await replica.stores.ListStores(sync_pb2.ListStoresRequest())).stores[0]
    assert (store.latest_video_stats.total_videos, store.latest_video_stats.total_views) == (2, 10)
    assert not store.HasField("latest_user_stats")


async def test_views_beyond_any_number_leave_the_store_readable(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    for name in ("v1", "v2"):
        await video(suite, "shop", 0, name, LARGEST_COUNT)
    store = (await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop"))).store
    assert store.latest_video_stats.total_views == LARGEST_COUNT


async def test_statistics_of_an_unknown_store_are_not_found(replica: Replica) -> None:
    with pytest.raises(StoreNotFound):
        await replica.stats.ListUserStats(sync_pb2.ListUserStatsRequest(store_code="nowhere"))
    with pytest.raises(StoreNotFound):
        await replica.stats.ListVideoStats(sync_pb2.ListVideoStatsRequest(store_code="nowhere"))
    with pytest.raises(StoreNotFound):
        await replica.logs("nowhere")


async def test_days_are_counted_in_the_suites_zone(suite: LivingSuite) -> None:
    await suite.connect("shop")
    zone = ZoneInfo("Pacific/Kiritimati")
    async with suite.replica(TZ=zone.key) as replica:
        before = datetime.now(zone).date()
        await replica.run(JOB_USER)
        request = sync_pb2.ListUserStatsRequest(store_code="shop", days=1)
        stats = (await replica.stats.ListUserStats(request)).stats
    assert before.isoformat() <= stats[0].snapshot_date <= datetime.now(zone).date().isoformat()


class StoppedClock:
    """A moment, for ever."""

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 23, 30, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def test_one_day_back_is_today() -> None:
    calendar = Calendar(clock=StoppedClock(), zone=ZoneInfo("Asia/Jakarta"))
    assert calendar.today() == calendar.first_of(1) == date(2026, 11, 22)
    assert calendar.first_of(30) == date(2026, 10, 24)
