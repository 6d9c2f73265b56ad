"""What an account shows on a day: pure, the same for the same (seed, account, day), and growing from day to day."""

from dataclasses import dataclass
from typing import Any

from sandbox.accounts import Account
from sandbox.clock import DAY_SECONDS
from sandbox.draws import Draws
from sandbox.phrases import BIOS, ENDINGS, OPENINGS

FIRST_DAY = 19_358  # 2023-01-01: nobody posted before
LONGEST_TEXT = 150
COVER_LIFE_SECONDS = 6 * 3_600  # the sheet: cover_image_url lives 6 hours
PAGE_MAX = 20
NO_VIDEOS_PERCENT = 8
MOST_VIDEOS = 115

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Habits:
    """How an account posts: its newest `shown` videos are public, one is posted every `period` days."""

    shown: int
    period: int
    offset: int

    def ordinals(self, day: int) -> range:
        """Return the numbers of the videos public on `day`, newest first; a day shows what was posted before it."""
        newest = (day - 1 - FIRST_DAY - self.offset) // self.period
        return range(newest, max(-1, newest - self.shown), -1)

    def posted_on(self, ordinal: int) -> int:
        """Return the day on which this video was posted."""
        return FIRST_DAY + self.offset + ordinal * self.period


def habits_of(seed: int, account: Account, videos: int | None = None) -> Habits:
    """Return how this account posts; of itself 8 % show nothing, the rest 1 to 115 videos, on average 3.2 pages of 20.

    With `videos` every account shows so many, as far as it has posted them.
    """
    draws = Draws(seed, "habits", account.index)
    shown = 0 if draws.below(100) < NO_VIDEOS_PERCENT else draws.between(1, MOST_VIDEOS)
    return Habits(shown=shown if videos is None else videos, period=draws.between(1, 6), offset=draws.below(6))


def user_on(seed: int, account: Account, day: int, videos: int | None = None) -> Json:
    """Return every field of user/info for this account on this day."""
    draws = Draws(seed, "user", account.index)
    age = max(0, day - FIRST_DAY)
    picture = f"https://avatars.sandbox.invalid/{account.open_id}"
    return {
        "open_id": account.open_id,
        "union_id": account.union_id,
        "avatar_url": f"{picture}/168.jpeg",
        "avatar_url_100": f"{picture}/100.jpeg",
        "avatar_large_url": f"{picture}/1080.jpeg",
        "display_name": account.display_name,
        "bio_description": draws.pick(BIOS),
        "profile_deep_link": f"https://vm.tiktok.com/sandbox/{account.username}/",
        "is_verified": draws.below(10) == 0,
        "username": account.username,
        "follower_count": draws.between(20, 90_000) + draws.between(1, 400) * age,
        "following_count": draws.between(0, 900) + age // draws.between(5, 40),
        "likes_count": draws.between(100, 900_000) + draws.between(10, 9_000) * age,
        "video_count": len(habits_of(seed, account, videos).ordinals(day)),
    }


def videos_on(seed: int, account: Account, day: int, videos: int | None = None) -> list[Json]:
    """Return every field of every public video on this day, newest first."""
    habits = habits_of(seed, account, videos)
    return [_video(seed, account, ordinal, (habits.posted_on(ordinal), day)) for ordinal in habits.ordinals(day)]


def _video(seed: int, account: Account, ordinal: int, days: tuple[int, int]) -> Json:
    posted, today = days
    draws = Draws(seed, "video", account.index, ordinal)
    created = posted * DAY_SECONDS + draws.below(DAY_SECONDS)
    number = str(created << 32 | draws.below(1 << 32))
    text = f"{draws.pick(OPENINGS)} {draws.pick(ENDINGS)} {draws.pick(ENDINGS)}"[:LONGEST_TEXT]
    link = f"https://www.tiktok.com/@{account.username}/video/{number}"
    return {
        "id": number,
        "create_time": created,
        "cover_image_url": f"https://covers.sandbox.invalid/{number}.jpeg?x-expires={_cover_expiry(today)}",
        "share_url": f"{link}?utm_source=sandbox",
        "video_description": text,
        "duration": draws.between(3, 600),
        "height": 1024,
        "width": draws.pick((576, 1024, 1820)),
        "title": text.split(" ")[0],
        "embed_html": f'<blockquote class="tiktok-embed" cite="{link}" data-video-id="{number}"></blockquote>',
        "embed_link": f"https://www.tiktok.com/player/v1/{number}",
        **_counters(draws, today - posted),
    }


def _cover_expiry(today: int) -> int:
    return (today + 1) * DAY_SECONDS + COVER_LIFE_SECONDS


def _counters(draws: Draws, age: int) -> Json:
    reach = draws.between(50, 100) * 10 ** draws.between(0, 4)
    views = reach * age // (age + draws.between(1, 10)) + age * draws.below(50)
    likes = views * draws.between(10, 180) // 1_000
    return {
        "like_count": likes,
        "comment_count": likes * draws.between(5, 90) // 1_000,
        "share_count": likes * draws.between(1, 60) // 1_000,
        "view_count": views,
    }


class Catalogue:
    """Content by account for one day at a time, remembered so that pages of a walk are not made again."""

    def __init__(self, *, seed: int, videos: int | None) -> None:
        self._seed = seed
        self._shown = videos
        self._day = -1
        self._videos: dict[int, list[Json]] = {}

    def user(self, account: Account, day: int) -> Json:
        """Return all fields of user/info."""
        return user_on(self._seed, account, day, self._shown)

    def videos(self, account: Account, day: int) -> list[Json]:
        """Return all public videos, newest first."""
        if day != self._day:
            self._day, self._videos = day, {}
        if account.index not in self._videos:
            self._videos[account.index] = videos_on(self._seed, account, day, self._shown)
        return self._videos[account.index]
