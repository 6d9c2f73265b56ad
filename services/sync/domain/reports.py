"""Reports: figures over a period of days, as they are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta


@dataclass(frozen=True)
class Period:
    """Days from the first to the last, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range(self.days))


@dataclass(frozen=True, kw_only=True)
class StoreGrowth:
    """A store's account over a period; a difference is last less first, None when either is unknown."""

    store_code: str
    store_name: str
    first_date: date | None
    last_date: date | None
    days: int
    follower_count: int | None
    followers_gained: int | None
    likes_count: int | None
    likes_gained: int | None
    video_count: int | None
    videos_gained: int | None


@dataclass(frozen=True, kw_only=True)
class TopVideo:
    """A video over a period."""

    store_code: str
    video_id: str
    description: str | None
    posted_at: datetime | None
    first_date: date
    last_date: date
    view_count: int
    views_gained: int
    like_count: int | None
    comment_count: int | None
    share_count: int | None


@dataclass(frozen=True, kw_only=True)
class DailyTotals:
    """Sums over the stores that have a snapshot of the day."""

    snapshot_date: date
    stores: int
    follower_count: int | None
    followers_gained: int | None
    likes_count: int | None
    likes_gained: int | None
    stores_with_videos: int
    videos: int
    view_count: int | None
    like_count: int | None
    comment_count: int | None
    share_count: int | None


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Stores that a day lacks for one reason; codes are the first of them."""

    reason: str
    stores: int
    store_codes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How many stores a day has of those it should have, for one job."""

    snapshot_date: date
    job: str
    expected: int
    done: int
    missing: tuple[Missing, ...]
