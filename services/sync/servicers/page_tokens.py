"""Page tokens: opaque to callers, and refused when they come from another list."""

import base64
import binascii
import json
from datetime import UTC, date, datetime
from uuid import UUID

from libs.errors import InvalidField
from services.sync.domain.runs import RunPosition
from services.sync.domain.snapshots import VideoPosition


def encode(kind: str, *values: str) -> str:
    """Return a token for the list of this kind."""
    content = json.dumps([kind, *values], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(kind: str, token: str, count: int) -> list[str]:
    """Return the values in a token; InvalidField when it is not one of this kind."""
    try:
        content = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise wrong() from None
    if not isinstance(content, list) or content[:1] != [kind] or len(content) != count + 1:
        raise wrong()
    # Nor what no list has given out and no database takes, as NUL.
    if not all(isinstance(value, str) and value.isprintable() for value in content):
        raise wrong()
    return content[1:]


def wrong() -> InvalidField:
    """Return the error for a token that is of no use."""
    return InvalidField("page_token", "is not a next_page_token of this list: start again without one")


def store_token(store_code: str) -> str:
    """Return the token of the page behind this store."""
    return encode("stores", store_code)


def store_behind(token: str) -> str:
    """Return the store behind which the page begins; an empty token means the first page."""
    return decode("stores", token, 1)[0] if token else ""


def run_token(position: RunPosition) -> str:
    """Return the token of the page behind this position."""
    return encode("runs", position.created_at.isoformat(), position.run_id)


def run_position(token: str) -> RunPosition | None:
    """Return the position behind which the page begins; an empty token means the first page."""
    if not token:
        return None
    created_at, run_id = decode("runs", token, 2)
    try:
        return RunPosition(datetime.fromisoformat(created_at).astimezone(UTC), str(UUID(run_id)))
    except (ValueError, OverflowError):
        raise wrong() from None


def growth_token(store_code: str) -> str:
    """Return the token of the page of growth behind this store."""
    return encode("growth", store_code)


def growth_behind(token: str) -> str:
    """Return the store behind which the page of growth begins; an empty token means the first page."""
    return decode("growth", token, 1)[0] if token else ""


def video_token(position: VideoPosition) -> str:
    """Return the token of the page behind this position."""
    return encode("videos", position.snapshot_date.isoformat(), position.video_id)


def video_position(token: str) -> VideoPosition | None:
    """Return the position behind which the page begins; an empty token means the first page."""
    if not token:
        return None
    day, video_id = decode("videos", token, 2)
    try:
        return VideoPosition(date.fromisoformat(day), video_id)
    except ValueError:
        raise wrong() from None
