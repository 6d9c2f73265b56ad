"""The bodies of webhooks as values; what is missing or of another type is InvalidField, and no value is repeated."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from libs.errors import InvalidField

LATEST = 253_402_300_799  # the last second of the year 9999
MOST_SHOWN = 64
Body = Mapping[str, Any]


def body_of(raw: bytes) -> Body:
    """Return the object of a body."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidField("body", "must be JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidField("body", "must be a JSON object")
    return value


def text(body: Body, name: str) -> str:
    """Return a text that is not empty and can be stored."""
    value = body.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidField(name, "must be a text")
    return value


def unix_time(body: Body, name: str) -> int:
    """Return Unix seconds, given as a number or as digits."""
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LATEST)):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LATEST:
        raise InvalidField(name, "must be a Unix time in seconds")
    return value


def moment(body: Body, name: str) -> datetime:
    """Return Unix seconds as a time."""
    return datetime.fromtimestamp(unix_time(body, name), UTC)


def fingerprint(raw: bytes) -> str:
    """Return what tells a body from every other."""
    return hashlib.sha256(raw).hexdigest()


def shown(name: str) -> str:
    """Return the name of an event as it may stand in a log."""
    return name[:MOST_SHOWN]
