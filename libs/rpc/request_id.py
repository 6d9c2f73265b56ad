"""The id that follows one request through every service and log line."""

import re
import uuid

from structlog.contextvars import bind_contextvars, get_contextvars

METADATA_KEY = "x-request-id"
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def current_request_id() -> str:
    """Return the id bound to this task, or an empty text."""
    return str(get_contextvars().get("request_id", ""))


def bind_request_id(offered: str | None) -> str:
    """Bind the offered id to this task and its log lines, or a new one when none or an unacceptable one is offered."""
    request_id = offered if offered and ACCEPTED.fullmatch(offered) else uuid.uuid4().hex
    bind_contextvars(request_id=request_id)
    return request_id
