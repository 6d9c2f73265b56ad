"""Who asked for what a task does, as far as that is known; kept where the request id is, so that log lines name it.

It goes with the calls that the task makes: what a service does for somebody is done by both.
"""

import re

from structlog.contextvars import bind_contextvars, get_contextvars

BACKGROUND = "background"
METADATA_KEY = "x-actor"
ACCEPTED = re.compile(r"[A-Za-z0-9._:/ -]{1,200}")


def current_actor() -> str:
    """Return who asked for what this task does; a task that serves no call works in the background."""
    return str(get_contextvars().get("actor", BACKGROUND))


def bind_actor(name: str) -> None:
    """Bind whoever this task works for."""
    bind_contextvars(actor=name)


def acting(caller: str, offered: str | None) -> str:
    """Return a caller with whom it says it acts for, if that can be anybody's name."""
    return f"{caller} for {offered}" if offered and ACCEPTED.fullmatch(offered) else caller
