"""Addresses tokens may be sent to: https anywhere, plain http only towards this machine."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_url(text: str) -> str:
    """Return an absolute URL that may be called; raise ValueError."""
    if not text.isprintable() or " " in text:  # urlsplit would drop line breaks silently
        raise ValueError("must not hold spaces or control characters")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("must be an absolute http(s) address without user or fragment")
    if parts.port == 0:  # asking for the port raises ValueError for anything that is none
        raise ValueError("must not have port 0")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https: plain http is only for this machine")
    return text


def check_origin(text: str) -> str:
    """Return an origin, scheme and host without a path; raise ValueError."""
    parts = urlsplit(check_url(text))
    if parts.path not in ("", "/") or parts.query:
        raise ValueError("must be an origin: scheme and host, no path")
    return text.rstrip("/")


def origin_of(url: str) -> str:
    """Return scheme and host of an absolute address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


Url = Annotated[str, AfterValidator(check_url)]
Origin = Annotated[str, AfterValidator(check_origin)]
