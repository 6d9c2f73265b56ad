"""How pages write numbers and times; times are UTC until a module puts them into the viewer's zone."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup

from services.gateway.shapes.times import clock_text

MINUTE, HOUR = 60, 3600
ABSENT = "\u2013"
TIME = Markup('<time datetime="{}"{}>{:%Y-%m-%d %H:%M} UTC</time>')
TIME_OF = Markup('<time datetime="{}T{}Z">{}</time>')
# As the services write times in sentences for people.
WRITTEN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} UTC)")
RELATIVE = Markup(" data-relative")


def moment(stamp: Timestamp, kind: str = "") -> str:
    """Return a time as an element; kind "relative" lets it be shown as so long ago, or to come."""
    if stamp == Timestamp():
        return ABSENT
    at = stamp.ToDatetime(tzinfo=UTC)
    return TIME.format(clock_text(at), RELATIVE if kind == "relative" else "", at)


def timed(text: str) -> Markup:
    """Return a sentence in which times of day are elements, so that they too are shown in the viewer's zone."""
    parts = WRITTEN.split(text)
    return Markup("").join(
        TIME_OF.format(part[:10], part[11:19], part) if WRITTEN.fullmatch(part) else part for part in parts
    )


def number(value: float | None) -> str:
    """Return a number with thousands apart."""
    return ABSENT if value is None else f"{value:,}"


def signed(value: int | None) -> str:
    """Return a difference with its sign."""
    return ABSENT if value is None else f"{value:+,}"


def optional(message: Any, field: str) -> Any:
    """Return a message's optional field, None while it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def lasting(duration: Duration) -> str:
    """Return how long something took."""
    return seconds(duration.ToMilliseconds() / 1000)


def seconds(value: float) -> str:
    """Return a number of seconds in the unit that suits it."""
    if value < MINUTE:
        return f"{value:.1f} s"
    if value < HOUR:
        return f"{value // MINUTE:.0f} min" + (f" {value % MINUTE:.0f} s" if value % MINUTE else "")
    return f"{value // HOUR:.0f} h {value % HOUR // MINUTE:.0f} min"


def words(value: str) -> str:
    """Return an upper-case word of the wire as people write it."""
    return value.replace("_", " ").lower()


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "time": moment,
        "timed": timed,
        "number": number,
        "signed": signed,
        "optional": optional,
        "lasting": lasting,
        "seconds": seconds,
        "words": words,
    }
)
