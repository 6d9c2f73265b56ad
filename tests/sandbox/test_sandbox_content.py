import statistics
from datetime import date

import pytest

from sandbox.accounts import account_at
from sandbox.content import PAGE_MAX, Json, user_on, videos_on

TODAY = (date(2026, 11, 21) - date(1970, 1, 1)).days
ACCOUNTS = [account_at(1, index) for index in range(1, 301)]
BUSY = next(account for account in ACCOUNTS if len(videos_on(1, account, TODAY)) > 30)


def test_content_is_the_same_every_time() -> None:
    account = account_at(1, 7)
    assert videos_on(1, account, TODAY) == videos_on(1, account_at(1, 7), TODAY)
    assert user_on(1, account, TODAY) == user_on(1, account, TODAY)
    assert user_on(2, account_at(2, 7), TODAY) != user_on(1, account, TODAY)


def test_three_hundred_accounts_need_about_a_thousand_pages() -> None:
    sizes = [len(videos_on(1, account, TODAY)) for account in ACCOUNTS]
    pages = sum(max(1, -(-size // PAGE_MAX)) for size in sizes)
    assert 900 <= pages <= 1000
    assert min(sizes) == 0
    assert 100 < max(sizes) <= 120
    assert 40 < statistics.mean(sizes) < 70


def test_accounts_can_be_made_to_show_equally_many_videos() -> None:
    sizes = {len(videos_on(1, account, TODAY, 200)) for account in ACCOUNTS}
    assert sizes == {user_on(1, account, TODAY, 200)["video_count"] for account in ACCOUNTS} == {200}


@pytest.mark.parametrize("later", [1, 30, 2000])
def test_figures_grow_from_day_to_day(later: int) -> None:
    for account in ACCOUNTS[:20]:
        now, then = user_on(1, account, TODAY), user_on(1, account, TODAY + later)
        assert now["follower_count"] < then["follower_count"]
        assert now["likes_count"] < then["likes_count"]


def test_a_videos_counters_never_fall() -> None:
    before = by_id(videos_on(1, BUSY, TODAY))
    after = by_id(videos_on(1, BUSY, TODAY + 3))
    shared = before.keys() & after.keys()
    assert shared
    for name in ("view_count", "like_count", "comment_count", "share_count"):
        assert all(before[number][name] <= after[number][name] for number in shared)
    assert any(before[number]["view_count"] < after[number]["view_count"] for number in shared)


def test_new_videos_appear_at_the_front() -> None:
    old, new = videos_on(1, BUSY, TODAY), videos_on(1, BUSY, TODAY + 14)
    times = [video["create_time"] for video in new]
    assert times == sorted(set(times), reverse=True)
    assert new[0]["id"] not in by_id(old)
    assert times[0] < (TODAY + 14) * 86_400


def test_texts_are_short_and_in_many_scripts() -> None:
    texts = [v["video_description"] for a in ACCOUNTS[:60] for v in videos_on(1, a, TODAY)]
    assert max(map(len, texts)) <= 150
    assert all(any(mark in text for text in texts) for mark in ("今日", "🇻🇳", "شكرا", "<b>", "=SUM", '"Best"'))


def test_numbers_fit_their_types() -> None:
    for video in (v for a in ACCOUNTS for v in videos_on(1, a, TODAY + 3000)):
        assert max(video[n] for n in ("like_count", "comment_count", "share_count", "duration")) < 2**31
        assert video["id"].isdigit()
        assert int(video["id"]) < 2**63


def test_account_names_are_stable_and_unique() -> None:
    assert [a.username for a in ACCOUNTS[:2]] == ["store_0001", "store_0002"]
    assert len({a.open_id for a in ACCOUNTS} | {a.union_id for a in ACCOUNTS}) == 600


def by_id(videos: list[Json]) -> dict[str, Json]:
    return {video["id"]: video for video in videos}
