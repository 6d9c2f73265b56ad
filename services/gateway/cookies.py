"""Cookies that only this host can set and no script reads; plain names where browsers refuse the better ones."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from fastapi import Request
from starlette.responses import Response

NOWHERE = urlsplit("")
VALUE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, kw_only=True)
class Cookie:
    """A cookie and its life in seconds."""

    name: str
    seconds: int
    same_site: Literal["lax", "strict"]

    def of(self, request: Request) -> str:
        """Return what this browser was given; empty when it has none, or several, of which one may be planted."""
        name = self._name(is_plain_loopback(request))
        cookies = ";".join(request.headers.getlist("cookie")).split(";")
        pairs = [(key.strip(), value.strip()) for key, _, value in (cookie.partition("=") for cookie in cookies)]
        values = [value for key, value in pairs if key == name]
        return values[0] if len(values) == 1 and VALUE.fullmatch(values[0]) else ""

    def give(self, request: Request, response: Response, value: str) -> None:
        """Give the browser a value; anything but plain loopback http is taken for https."""
        self._set(request, response, value, self.seconds)

    def take_back(self, request: Request, response: Response) -> None:
        """Let the browser forget the value."""
        self._set(request, response, "", 0)

    def _set(self, request: Request, response: Response, value: str, seconds: int) -> None:
        plain = is_plain_loopback(request)
        response.set_cookie(
            self._name(plain),
            value,
            max_age=seconds,
            path="/",
            secure=not plain,
            httponly=True,
            samesite=self.same_site,
        )

    def _name(self, plain: bool) -> str:
        return self.name if plain else f"__Host-{self.name}"


def is_plain_loopback(request: Request) -> bool:
    """Return whether the browser came by http to this machine, where browsers refuse __Host- cookies."""
    return request.scope.get("scheme") == "http" and is_loopback(asked_for(request))


def asked_for(request: Request) -> SplitResult:
    """Return the host and port that the browser asked for; without a name when they make no sense."""
    try:
        address = urlsplit(f"http://{request.headers.get('host', '')}")
        usable = address.port != 0  # asking for the port raises ValueError for anything that is none
    except ValueError:
        return NOWHERE
    return address if usable else NOWHERE


def is_loopback(address: SplitResult) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return address.hostname == "localhost" or ipaddress.ip_address(address.hostname or "").is_loopback
    except ValueError:
        return False
