"""Who asked for what a task does, as far as that is known; kept where the request id is, so that log lines name it."""

from structlog.contextvars import bind_contextvars, get_contextvars

BACKGROUND = "background"


def current_actor() -> str:
    """Return who asked for what this task does; a task that serves no call works in the background."""
    return str(get_contextvars().get("actor", BACKGROUND))


def bind_peer(peer: str) -> None:
    """Bind the machine at the other end of a call, as gRPC names it: until callers have identities, nothing more."""
    kind, _, address = peer.partition(":")
    bind_contextvars(actor=f"{kind}:{address.rpartition(':')[0]}" if kind in ("ipv4", "ipv6") else kind)
