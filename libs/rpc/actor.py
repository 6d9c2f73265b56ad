"""Who asked for what a task does, as far as that is known; kept where the request id is, so that log lines name it."""

from structlog.contextvars import bind_contextvars, get_contextvars

BACKGROUND = "background"


def current_actor() -> str:
    """Return who asked for what this task does; a task that serves no call works in the background."""
    return str(get_contextvars().get("actor", BACKGROUND))


def bind_actor(name: str) -> None:
    """Bind the caller that this task works for."""
    bind_contextvars(actor=name)
