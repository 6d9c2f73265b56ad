"""Where a service may listen: plaintext, and so this machine only."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator


def check_listen(text: str) -> str:
    """Return host:port of this machine, or a unix socket; raise ValueError."""
    if text.startswith("unix:"):
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be host:port, as in 127.0.0.1:50051")
    if host != "localhost" and not is_loopback(host.strip("[]")):
        raise ValueError("must be an address of this machine, as 127.0.0.1: calls are not encrypted yet")
    return text


def is_loopback(host: str) -> bool:
    """Return whether an address is one that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Listen = Annotated[str, AfterValidator(check_listen)]
