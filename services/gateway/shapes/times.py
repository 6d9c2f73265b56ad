"""Times as JSON shows them: RFC 3339, UTC, milliseconds, Z."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def milliseconds(duration: Duration) -> int:
    """Return a duration in whole milliseconds."""
    return duration.ToMilliseconds()


def clock_text(moment: datetime) -> str:
    """Return a moment as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp_text(stamp: Timestamp) -> str:
    """Return a timestamp as text; parts of a millisecond are cut off."""
    return clock_text(stamp.ToDatetime(tzinfo=UTC))


def time_or_none(message: Message, field: str) -> str | None:
    """Return the text of a message's timestamp field, or None while it is absent."""
    return stamp_text(getattr(message, field)) if message.HasField(field) else None
