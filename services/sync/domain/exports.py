"""What can be exported, and the columns that it has in every format."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from services.sync.domain.reports import Period


class Dataset(StrEnum):
    """Snapshots of all stores that are not deleted."""

    USER_DAILY = "user_daily"
    VIDEO_DAILY = "video_daily"


class ExportFormat(StrEnum):
    """What an export can be sent as."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class Kind(StrEnum):
    """What a column holds; each may be unknown."""

    NUMBER = "number"
    TEXT = "text"
    DAY = "day"
    MOMENT = "moment"


@dataclass(frozen=True)
class Column:
    """A column by its name in the file and in the table."""

    name: str
    source: str
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to export, of which days, as what."""

    dataset: Dataset
    format: ExportFormat
    period: Period


Row = Sequence[object]
Batches = AsyncGenerator[list[Row], None]
Bytes = AsyncGenerator[bytes, None]
Encode = Callable[[Sequence[Column], Batches], Bytes]

BATCH_ROWS = 5_000  # in memory at a time, and in a row group of Parquet

ID = Column("id", "id", Kind.NUMBER)
STORE = Column("storeCode", "store_code", Kind.TEXT)
DAY = Column("snapshotDate", "snapshot_date", Kind.DAY)
CREATED = Column("createdAt", "created_at", Kind.MOMENT)

COLUMNS: Mapping[Dataset, Sequence[Column]] = MappingProxyType(
    {
        Dataset.USER_DAILY: (
            *(ID, STORE, DAY),
            Column("followerCount", "follower_count", Kind.NUMBER),
            Column("followingCount", "following_count", Kind.NUMBER),
            Column("likesCount", "likes_count", Kind.NUMBER),
            Column("videoCount", "video_count", Kind.NUMBER),
            Column("displayName", "display_name", Kind.TEXT),
            Column("avatarUrl", "avatar_url", Kind.TEXT),
            CREATED,
        ),
        Dataset.VIDEO_DAILY: (
            *(ID, STORE, DAY),
            Column("videoId", "video_id", Kind.TEXT),
            Column("viewCount", "view_count", Kind.NUMBER),
            Column("likeCount", "like_count", Kind.NUMBER),
            Column("commentCount", "comment_count", Kind.NUMBER),
            Column("shareCount", "share_count", Kind.NUMBER),
            Column("description", "description", Kind.TEXT),
            CREATED,
        ),
    }
)
