from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_ALL, JOB_USER, JOB_VIDEO, LivingSuite, Replica
from tests.sync.scripted_tiktok import Json, ScriptedTikTok, scripted_tiktok

STORED = "SELECT * FROM reporting.tiktok_video_daily WHERE video_id = $1"


@dataclass
class Scene:
    """A store called shop, a service, and a TikTok that says what it is told."""

    suite: LivingSuite
    replica: Replica
    tiktok: ScriptedTikTok


@pytest.fixture
async def scene(suite: LivingSuite) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        tiktok = await stack.enter_async_context(scripted_tiktok())
        replica = await stack.enter_async_context(suite.replica(TIKTOK_API_BASE_URL=tiktok.url))
        await suite.connect("shop")
        yield Scene(suite, replica, tiktok)


def page(*videos: object, cursor: object = 0, has_more: object = False) -> Json:
    return {"videos": list(videos), "cursor": cursor, "has_more": has_more}


async def test_fields_that_make_no_sense_are_absent(scene: Scene) -> None:
    strange = {"id": "1", "view_count": "7", "like_count": 1e308, "comment_count": float("nan"), "share_count": 1 << 63}
    worse = {"id": "2", "view_count": -1, "like_count": True, "comment_count": [], "video_description": {"a": 1}}
    scene.tiktok.page = lambda _cursor: page(strange, worse, {"id": None}, "no video", {"id": "3", "view_count": 9})
    end = await scene.replica.run(JOB_VIDEO)
    assert (end.state, end.videos) == (sync_pb2.RUN_STATE_SUCCEEDED, 3)
    for name in ("1", "2"):
        row = await scene.suite.row(STORED, name)
        counts = ("view_count", "like_count", "comment_count", "share_count", "description")
        assert [row[count] for count in counts] == [None] * 5
    assert (await scene.suite.row(STORED, "3"))["view_count"] == 9


async def test_an_absent_count_is_absent_not_zero(scene: Scene) -> None:
    scene.tiktok.user = {"open_id": "x", "likes_count": "many", "video_count": 0}
    end = await scene.replica.run(JOB_USER)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    request = sync_pb2.ListUserStatsRequest(store_code="shop")
    stats = (await scene.replica.stats.ListUserStats(request)).stats[0]
    assert [stats.HasField(name) for name in ("follower_count", "likes_count", "video_count")] == [False, False, True]
    assert (await scene.replica.logs("shop"))[0].message.endswith("unknown followers, 0 videos")


async def test_texts_are_stored_as_they_were_said(scene: Scene) -> None:
    texts = ["NULL", "null", "", ' "a", {b}, \\"c\\ ', "d\n\te", "🧋'"]
    videos = [{"id": str(number), "video_description": text} for number, text in enumerate(texts)]
    scene.tiktok.page = lambda _cursor: page(*videos, {"id": "untold"})
    await scene.replica.run(JOB_VIDEO)
    stored = [(await scene.suite.row(STORED, str(number)))["description"] for number in range(len(texts))]
    assert (stored, (await scene.suite.row(STORED, "untold"))["description"]) == (texts, None)


async def test_texts_postgresql_cannot_store_are_cleaned(scene: Scene) -> None:
    scene.tiktok.user = {"open_id": "x", "display_name": "a\x00b 🧋"}
    scene.tiktok.page = lambda _cursor: page({"id": "1", "video_description": "🎉 nul\x00 half \ud83d end"})
    end = await scene.replica.run(JOB_ALL)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert (await scene.suite.row(STORED, "1"))["description"] == "🎉 nul half ? end"
    assert await scene.suite.pool.fetchval("SELECT display_name FROM reporting.tiktok_user_daily") == "ab 🧋"


async def test_the_last_of_two_equal_videos_wins(scene: Scene) -> None:
    scene.tiktok.page = lambda _cursor: page({"id": "1", "view_count": 1}, {"id": "1", "view_count": 2})
    end = await scene.replica.run(JOB_VIDEO)
    assert end.videos == 1
    assert (await scene.suite.row(STORED, "1"))["view_count"] == 2


async def test_a_cursor_that_comes_again_ends_the_store(scene: Scene) -> None:
    scene.tiktok.page = lambda cursor: page({"id": str(cursor)}, cursor=500, has_more=True)
    end = await scene.replica.run(JOB_VIDEO)
    assert (end.failed, end.ended_stores[0].reason) == (1, "UPSTREAM_CURSOR_LOOP")
    assert scene.tiktok.cursors == [None, 500]


async def test_a_cursor_that_goes_back_ends_the_store(scene: Scene) -> None:
    scene.tiktok.page = lambda cursor: page(cursor=(cursor or 0) + 500, has_more=True)
    end = await scene.replica.run(JOB_VIDEO)
    assert end.ended_stores[0].reason == "UPSTREAM_CURSOR_LOOP"


async def test_empty_pages_on_the_way_are_passed(scene: Scene) -> None:
    pages = {None: page(cursor=900, has_more=True), 900: page(cursor=800, has_more=True), 800: page({"id": "1"})}
    scene.tiktok.page = lambda cursor: pages[cursor]
    end = await scene.replica.run(JOB_VIDEO)
    assert (end.state, end.videos) == (sync_pb2.RUN_STATE_SUCCEEDED, 1)


async def test_the_last_page_may_carry_a_cursor(scene: Scene) -> None:
    scene.tiktok.page = lambda _cursor: page({"id": "1"}, cursor=1_700_000_000_000, has_more=False)
    end = await scene.replica.run(JOB_VIDEO)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert scene.tiktok.cursors == [None]
