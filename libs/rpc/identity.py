"""Who calls: the name in the certificate of whoever is at the other end, read once per connection."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.errors import NotAllowed

TRUST_DOMAIN = "spiffe://tokhub/"
SERVICE, OPERATOR = "svc", "operator"
# Connections whose callers are remembered; more are forgotten all at once and read again.
MOST_REMEMBERED = 4096

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever is at the other end of a call."""

    name: str
    role: str


def caller_named(uri: str) -> Caller:
    """Return the caller of a certificate's URI; raise NotAllowed for one that is nobody of this suite.

    A service is its own role, `svc/sync`; operators share one, and their names tell them apart.
    """
    path = uri.removeprefix(TRUST_DOMAIN)
    kind, _, name = path.partition("/")
    if path == uri or kind not in (SERVICE, OPERATOR) or not name or "/" in name:
        raise NotAllowed(
            f"The certificate names {uri[:100]}, and only {TRUST_DOMAIN}{SERVICE}/NAME and "
            f"{TRUST_DOMAIN}{OPERATOR}/NAME may call: use a certificate with one of those as its URI."
        )
    return Caller(name=path, role=path if kind == SERVICE else OPERATOR)


def caller_certified(properties: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return the caller that a connection's certificate names; raise NotAllowed when it names none, or several."""
    uris = [uri.decode("utf-8", "replace") for uri in properties.get("peer_uri", ())]
    if len(uris) != 1:
        raise NotAllowed(
            f"The certificate has {len(uris)} URIs among its alternative names, and one has to say who calls: "
            f"use a certificate with {TRUST_DOMAIN}{SERVICE}/NAME or {TRUST_DOMAIN}{OPERATOR}/NAME."
        )
    return caller_named(uris[0])


class Callers:
    """Reads certificates, each connection's once: a look at all of its properties costs as much as a small call."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Caller] = {}

    def of(self, context: Context) -> Caller:
        """Return who calls; raise NotAllowed for a certificate that names nobody of this suite."""
        # An address can be another connection's after this one's end: what it certified is part of the key.
        key: tuple[object, ...] = (context.peer(), *(context.peer_identities() or ()))
        caller = self._known.get(key)
        if caller is None:
            caller = caller_certified(context.auth_context())
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = caller
        return caller
