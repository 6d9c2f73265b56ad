"""What all token answers have in common: the ways to bring nothing, and fields read with suspicion."""

from collections.abc import Iterable
from typing import Any

from libs.secret import Secret
from libs.tiktok.transport import Answer

MAX_TOKEN_CHARS = 4096  # of an access token, which has to fit into a header
MAX_REFRESH_CHARS = 16_384
MAX_NAME_CHARS = 255  # of an open_id, about 40 in practice
MAX_SCOPES = 200  # a list that is longer is none


class Refused(Exception):
    """TikTok refused the code or the token; word is its error, such as invalid_grant."""

    def __init__(self, word: str) -> None:
        super().__init__(f"TikTok refused: {word}")
        self.word = word


class AppRefused(Exception):
    """TikTok refused this app: wrong key or secret, or a product that is not enabled."""

    def __init__(self, word: str) -> None:
        super().__init__(f"TikTok refused the app: {word}")
        self.word = word


class Unusable(Exception):
    """TikTok answered nothing usable: an error of its own, too many requests, or a page."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.retry_after = retry_after


class Page(Unusable):
    """Something in front of TikTok answered with a page, as if that were a success."""


class Garbled(Exception):
    """TikTok says no error and gives no tokens that can be read: it may have carried the request out."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}, and nothing that can be read")


def nothing_in(answer: Answer) -> Unusable | Garbled:
    """Return what an answer is that neither refuses nor brings tokens."""
    retry_after = answer.headers.get("retry-after")
    if not 200 <= answer.status < 300:
        return Unusable(answer.status, retry_after)
    return Page(answer.status, retry_after) if answer.body.lstrip()[:1] == b"<" else Garbled(answer.status)


def read_text(value: Any, longest: int) -> str:
    """Return printable ASCII without spaces, or an empty text for anything a header or a database may choke on."""
    text = value.strip() if isinstance(value, str) else ""
    usable = len(text) <= longest and text.isascii() and text.isprintable() and " " not in text
    return text if usable else ""


def read_names(values: Iterable[Any]) -> tuple[str, ...]:
    """Return scopes, each once; what cannot be one is left out, and what is beyond any number of them."""
    names = dict.fromkeys(read_text(value, MAX_NAME_CHARS) for value in values)
    return tuple(name for name in names if name)[:MAX_SCOPES]


def read_access_token(value: Any) -> Secret | None:
    """Return an access token, or None for anything that cannot be one."""
    text = read_text(value, MAX_TOKEN_CHARS)
    return Secret(text) if text else None


def read_refresh_token(value: Any) -> Secret | None:
    """Return a refresh token, which may be any text: what TikTok has given stands in this answer only."""
    text = value.strip() if isinstance(value, str) else ""
    return Secret(text) if 0 < len(text) <= MAX_REFRESH_CHARS and is_unicode(text) else None


def is_missing(value: Any) -> bool:
    """Return whether a field is left out, as one may be; anything else that cannot be read is a loss."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_unicode(text: str) -> bool:
    """Return whether a text can be stored: JSON may hold half a character."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def read_number(value: Any) -> int | None:
    """Return a whole number, also from a text or with a fraction; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
