"""Where services may listen and be called: in plaintext on this machine only, anywhere with certificates."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

# The setting of libs/rpc/settings.py that is last and so stands for all three.
CERTIFIED = "tls_key"


def check_address(text: str, info: ValidationInfo) -> str:
    """Return host:port, or a unix socket; raise ValueError for another machine's when there are no certificates."""
    if text.startswith("unix:"):
        return text
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("must be host:port, as in 127.0.0.1:50051")
    if not is_local(text) and info.data.get(CERTIFIED) is None:
        raise ValueError(
            "must be an address of this machine, as 127.0.0.1, unless TLS_CA, TLS_CERT and TLS_KEY are set"
        )
    return text


def is_local(address: str) -> bool:
    """Return whether only this machine can be at the other end of an address, host:port or a unix socket."""
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host == "localhost" or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether an address is one that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Listen = Annotated[str, AfterValidator(check_address)]
Target = Annotated[str, AfterValidator(check_address)]
