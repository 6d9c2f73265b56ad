"""What all token answers have in common: three ways to bring nothing, and fields read with suspicion."""

from typing import Any

from libs.secret import Secret

MAX_TOKEN_CHARS = 4096
MAX_NAME_CHARS = 255  # of an open_id, about 40 in practice


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
    """TikTok answered nothing usable: an error of its own, too many requests, or something that is not JSON."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.retry_after = retry_after


def read_text(value: Any, longest: int) -> str:
    """Return printable ASCII without spaces, or an empty text for anything a header or a database may choke on."""
    text = value.strip() if isinstance(value, str) else ""
    usable = len(text) <= longest and text.isascii() and text.isprintable() and " " not in text
    return text if usable else ""


def read_token(value: Any) -> Secret | None:
    """Return a token, or None for anything that cannot be one."""
    text = read_text(value, MAX_TOKEN_CHARS)
    return Secret(text) if text else None
