"""What a field of a request must be, in the words its refusal uses; documentation and errors share them."""

import re
from collections.abc import Mapping
from types import MappingProxyType

STORE_CODE = r"^[A-Za-z0-9_-]{1,50}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
USER_ID = r"^[A-Za-z0-9_-]{1,64}$"
CODE = r"^[!-~]{1,2048}$"
CHECKPOINT = r"^[0-9]{1,18}:[0-9a-f]{64}$"
SHOP_ID = r"^[!-~]{0,64}$"
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")

RULES: Mapping[str, str] = MappingProxyType(
    {
        "store_code": "must be 1-50 alphanumeric characters with underscores or hyphens",
        "store_name": "must be 1-255 characters",
        "pic_name": "must be 1-255 characters",
        "pic_contact": "must be a string of at most 1,000 characters",
        "user_id": "must be 1-64 alphanumeric characters with underscores or hyphens",
        "code": "must be the authorization code of TikTok",
        "state": "must be the state of a consent link",
        "shop_id": "must be the id of a shop, for a grant that covers several",
        "redirect_uri": "must be TIKTOK_REDIRECT_URI or one of TIKTOK_ALLOWED_REDIRECT_URIS",
        "days": "must be a whole number from 1 to 365",
        "limit": "must be a whole number from 1 to 500",
        "job": "must be one of all, user, video, refresh_tokens",
        "run_id": "must be a UUID",
        "connection_id": "must be a UUID",
        "active": "must be true or false",
        "service": "must be token or sync",
        "actor": "must be an actor as shown, at most 300 characters",
        "checkpoint": "must be a checkpoint as a verification or the log has told it",
        "force": "must be true or false",
        "dry_run": "must be true or false",
        "team_id": "must be a whole number up to 999999999",
        "page_token": "must be the nextPageToken of the page before",
        "from": "must be a day, YYYY-MM-DD",
        "to": "must be a day, YYYY-MM-DD",
        "format": "must be json or csv; an export may be parquet, too",
        "dataset": "must be one of user_daily, video_daily",
    }
)


def whole_number(text: object) -> int:
    """Return the number that plain digits spell; signs, spaces, exponents and fractions are refused."""
    if not isinstance(text, str) or not WHOLE_NUMBER.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def storable(text: str) -> str:
    """Return the text unless it holds NUL, which PostgreSQL cannot store."""
    if "\0" in text:
        raise ValueError("holds NUL")
    return text
