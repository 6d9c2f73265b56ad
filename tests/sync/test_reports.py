from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from tokhub.sync.v1 import report_pb2

from libs.clock import SystemClock
from libs.errors import InvalidField
from libs.tiktok.display_objects import LARGEST_COUNT
from services.sync.core.calendar import Calendar
from services.sync.core.reports import ReportRows, Reports
from tests.sync.living_suite import JOB_ALL, LivingSuite, Replica
from tests.sync.snapshot_rows import account, days_ago, period, video


async def growth(replica: Replica, over: report_pb2.Period) -> Sequence[report_pb2.StoreGrowth]:
    return (await replica.reports.ListGrowth(report_pb2.ListGrowthRequest(period=over))).growth


async def top(replica: Replica, over: report_pb2.Period, limit: int = 0) -> Sequence[report_pb2.TopVideo]:
    return (await replica.reports.ListTopVideos(report_pb2.ListTopVideosRequest(period=over, limit=limit))).videos


async def totals(replica: Replica, over: report_pb2.Period) -> Sequence[report_pb2.DailyTotals]:
    return (await replica.reports.ListDailyTotals(report_pb2.ListDailyTotalsRequest(period=over))).totals


async def test_growth_is_last_less_first_within_the_period(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    for days, followers in ((9, 1), (7, 100), (4, 150), (1, 130), (0, 999)):
        await account(suite, "shop", days, followers, likes_count=None if days == 7 else 5)
    (shop,) = await growth(replica, period(8, 1))
    assert (shop.first_date, shop.last_date) == (days_ago(7).isoformat(), days_ago(1).isoformat())
    assert (shop.days, shop.follower_count, shop.followers_gained) == (3, 130, 30)
    assert shop.likes_count == 5
    assert not shop.HasField("likes_gained")


async def test_fewer_followers_are_a_negative_growth(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    await account(suite, "shop", 1, 10)
    await account(suite, "shop", 0, 4)
    assert [one.followers_gained for one in await growth(replica, period(5))] == [-6]


async def test_two_accounts_are_never_set_off(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    for days, name, followers in ((3, "old", 9_000), (2, "new", 10), (0, "new", 12)):
        await account(suite, "shop", days, followers, account_id=name)
    (shop,) = await growth(replica, period(5))
    assert (shop.first_date, shop.days, shop.followers_gained) == (days_ago(2).isoformat(), 2, 2)
    assert [day.followers_gained for day in await totals(replica, period(2))] == [0, 0, 2]


async def test_a_store_without_snapshots_has_no_figures(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    await account(suite, "shop", 9, 10)
    (shop,) = await growth(replica, period(5))
    assert (shop.first_date, shop.last_date, shop.days) == ("", "", 0)
    assert not shop.HasField("follower_count")


async def test_one_stores_figures_leave_the_others_out(suite: LivingSuite, replica: Replica) -> None:
    for code, followers in (("shop", 5), ("other", 100)):
        await suite.add_store(code)
        await account(suite, code, 0, followers)
        await video(suite, code, 0, "1", followers * 10)
    asked = report_pb2.ListDailyTotalsRequest(period=period(0), store_code="shop")
    (day,) = (await replica.reports.ListDailyTotals(asked)).totals
    best = report_pb2.ListTopVideosRequest(period=period(0), store_code="shop")
    assert (day.follower_count, day.view_count, day.videos) == (5, 50, 1)
    assert [one.store_code for one in (await replica.reports.ListTopVideos(best)).videos] == ["shop"]


async def test_growth_is_listed_page_by_page(suite: LivingSuite, replica: Replica) -> None:
    for code in ("a", "b", "c"):
        await suite.add_store(code)
    seen, token = [], ""
    while True:
        request = report_pb2.ListGrowthRequest(period=period(1), page_size=2, page_token=token)
        answer = await replica.reports.ListGrowth(request)
        seen.append([one.store_code for one in answer.growth])
        if not (token := answer.next_page_token):
            break
    assert seen == [["a", "b"], ["c"]]


async def test_deleted_stores_and_creators_are_in_no_report(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("gone")
    await suite.pool.execute("UPDATE reporting.stores SET archived_at = now()")
    for kind in ("store", "user"):
        await account(suite, "gone", 0, 10, subject_kind=kind)
        await video(suite, "gone", 0, "v", 10, subject_kind=kind)
    assert not await growth(replica, period(1))
    assert not await top(replica, period(1))
    assert {(day.stores, day.videos) for day in await totals(replica, period(1))} == {(0, 0)}
    days = (await replica.reports.ListCompleteness(report_pb2.ListCompletenessRequest(period=period(1)))).days
    assert {day.expected for day in days} == {0}


async def test_videos_rank_by_views_gained(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    for name, then, now in (("steady", 10_000, 10_010), ("rising", 5, 900), ("falling", 50, 20)):
        await video(suite, "shop", 3, name, then)
        await video(suite, "shop", 0, name, now, description=name, like_count=7)
    found = await top(replica, period(3))
    assert [(one.video_id, one.views_gained, one.view_count) for one in found] == [
        ("rising", 895, 900),
        ("steady", 10, 10_010),
        ("falling", -30, 20),
    ]
    assert (found[0].description, found[0].like_count, found[0].HasField("share_count")) == ("rising", 7, False)
    assert [one.video_id for one in await top(replica, period(3), limit=1)] == ["rising"]


async def test_all_views_of_a_new_video_are_gained(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    midnight = datetime.combine(days_ago(3), time.min, UTC)
    await video(suite, "shop", 2, "new", 70, posted_at=midnight)
    await video(suite, "shop", 2, "old", 70, posted_at=midnight - timedelta(seconds=1))
    assert [(one.video_id, one.views_gained) for one in await top(replica, period(3))] == [("new", 70), ("old", 0)]


async def test_a_deleted_video_keeps_its_last_figures(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    for days, views in ((4, 10), (3, 60), (2, None)):
        await video(suite, "shop", days, "gone", views)
    (gone,) = await top(replica, period(5))
    assert (gone.last_date, gone.views_gained) == (days_ago(3).isoformat(), 50)


async def test_totals_add_up_what_each_day_has(suite: LivingSuite, replica: Replica) -> None:
    for code in ("a", "b"):
        await suite.add_store(code)
    for code, age, followers in (("a", 2, 10), ("b", 2, 100), ("a", 1, 13), ("a", 0, 14), ("b", 0, 160)):
        await account(suite, code, age, followers)
    await video(suite, "a", 1, "v", 5, like_count=1)
    await video(suite, "a", 1, "w", None)
    days = await totals(replica, period(3))
    assert [(day.stores, day.follower_count) for day in days] == [(0, 0), (2, 110), (1, 13), (2, 174)]
    assert not days[0].HasField("follower_count")
    # The day after a gap has what the gap hid, so that the differences add up to the growth.
    assert [day.followers_gained for day in days] == [0, 0, 3, 61]
    assert (days[2].stores_with_videos, days[2].videos, days[2].view_count, days[2].like_count) == (1, 2, 5, 1)
    assert not days[2].HasField("share_count")


async def test_absurd_counts_do_not_cost_the_report(suite: LivingSuite, replica: Replica) -> None:
    for code in ("a", "b"):
        await suite.add_store(code)
        await account(suite, code, 0, LARGEST_COUNT)
        await video(suite, code, 0, "v", LARGEST_COUNT)
    (day,) = await totals(replica, period(0))
    assert (day.follower_count, day.view_count) == (LARGEST_COUNT, LARGEST_COUNT)


async def test_a_run_says_whose_snapshot_it_is_and_when_videos_were_posted(
    suite: LivingSuite, replica: Replica
) -> None:
    await suite.connect_busy("shop", pages=2)
    await replica.run(JOB_ALL, "shop")
    account_id = await suite.pool.fetchval("SELECT account_id FROM reporting.tiktok_user_daily")
    assert account_id == suite.accounts["shop"]
    rows = await suite.pool.fetch("SELECT video_id, posted_at FROM reporting.tiktok_video_daily")
    posted = {row["video_id"]: int(row["posted_at"].timestamp()) for row in rows}
    assert posted == {one["id"]: one["create_time"] for one in suite.truth("shop")["videos"]}


def test_the_usual_period_is_thirty_days_up_to_today() -> None:
    assert days_of(reports_on(date(2026, 3, 30)), "", "") == (date(2026, 3, 1), date(2026, 3, 30))
    assert days_of(reports_on(date(2026, 3, 30)), "", "2026-01-30") == (date(2026, 1, 1), date(2026, 1, 30))


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        ("", "2026-03-31", "to"),
        ("2026-03-31", "", "from"),
        ("2026-02-02", "2026-02-01", "from"),
        ("2025-03-29", "", "from"),
        ("2026-02-30", "", "from"),
        ("", "2026-13-01", "to"),
        ("", "0001-01-02", "to"),
        ("0001-01-01", "0001-01-02", "to"),
        ("1999-12-31", "2000-01-02", "from"),
    ],
)
def test_a_period_that_cannot_be_is_refused(first: str, last: str, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        reports_on(date(2026, 3, 30)).period(first, last)
    assert refused.value.field == field


def days_of(reports: Reports, first: str, last: str) -> tuple[date, date]:
    found = reports.period(first, last)
    return found.first, found.last


class UnusedRows:
    """A period needs no rows."""

    growth = top_videos = daily_totals = completeness = None


def reports_on(day: date) -> Reports:
    class Noon(SystemClock):
        def now(self) -> datetime:
            return datetime.combine(day, time(12), UTC)

    rows = cast("ReportRows", UnusedRows())
    return Reports(rows=rows, calendar=Calendar(clock=Noon(), zone=ZoneInfo("UTC")))
