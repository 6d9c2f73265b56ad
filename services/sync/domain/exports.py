"""What can be exported, and the columns that it has in every format."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_type_hints

from services.sync.domain.reports import Period
from services.sync.domain.snapshots import UserSnapshot, VideoSnapshot


class Dataset(StrEnum):
    """Snapshots of all stores that are not deleted."""

    USER_DAILY = "user_daily"
    VIDEO_DAILY = "video_daily"


class ExportFormat(StrEnum):
    """What an export can be sent as."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Column:
    """A column by its name in the file and in the table, with what it holds where that is known."""

    name: str
    source: str
    holds: type


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


def columns_of(snapshot: type) -> Sequence[Column]:
    """Return a column for each field of a snapshot."""
    return [Column(in_json(name), name, known(hint)) for name, hint in get_type_hints(snapshot).items()]


def in_json(name: str) -> str:
    """Return a field's name as the HTTP API spells it."""
    first, *others = name.split("_")
    return "".join([first, *map(str.capitalize, others)])


def known(hint: Any) -> type:
    """Return the type of a field without the None that stands for unknown."""
    kinds: list[type] = [kind for kind in get_args(hint) or [hint] if kind is not NoneType]
    return kinds[0]


COLUMNS: Mapping[Dataset, Sequence[Column]] = MappingProxyType(
    {Dataset.USER_DAILY: columns_of(UserSnapshot), Dataset.VIDEO_DAILY: columns_of(VideoSnapshot)}
)
