"""Log lines as JSON on stdout, one event a line, with the request id and without secrets."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from libs.tracing import is_tracing, trace_id

SECRET_KEYS = frozenset(
    {
        *("access_token", "refresh_token", "client_secret", "app_secret", "code", "code_verifier", "state"),
        *("authorization", "cookie", "password", "set-cookie", "token", "x-api-key"),
    }
)
SECRET_TEXT = re.compile(
    r"\b(?:act|rft|clt)\.[A-Za-z0-9._!*-]+"  # Login Kit's tokens
    r"|\b[A-Za-z0-9_-]+\*\d!\d+"  # Login Kit's codes
    r"|\b(?:TTP|ROW|GCP)_[A-Za-z0-9_-]{16,}"  # TikTok Shop's tokens
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"  # JWTs
    r"|(?<=://)[^\s/@:]*:[^\s\"']*@|(?<=://)[^\s/@]+@"  # credentials in an address, with a slash in them too
    r"|(?<=[?&])(?:code|state)=[^\s&\"']*"
    r"|(?i:\bbearer\s+\S+)"
    r"|(?i:(?:access_token|refresh_token|client_secret|app_secret|password|code_verifier)[\"']?\s*[=:]\s*[\"']?[^\s&,\"'}]+)"
)
# Texts that need no closer look, which are most: none of the above is made of these characters alone, in this order.
# A JWT would be, and is told by its beginning.
HARMLESS = re.compile(
    r"[A-Za-z0-9/-]*(?:(?:(?<!act)(?<!rft)(?<!clt)\.|(?<!TTP)(?<!ROW)(?<!GCP)_)[A-Za-z0-9/-]*)*", re.ASCII
)
JWT_BEGINS = "eyJ"

Event = MutableMapping[str, Any]


class LastingLogger(structlog.WriteLogger):
    """Writes lines to stdout; a line that cannot be written, as on a full disk, is lost and stops nobody."""

    def msg(self, message: str) -> None:
        """Write a line."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = error = critical = fatal = failure = err = exception = msg


def scrub_value(value: Any) -> Any:
    """Return the value with every token it holds blotted out; what JSON does not know becomes text first."""
    if isinstance(value, str):
        return scrub_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return scrub_items(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub_value(item) for item in value]
    return scrub_text(repr(value))


def scrub_text(text: str) -> str:
    """Return the text with every token it holds blotted out."""
    if HARMLESS.fullmatch(text) and JWT_BEGINS not in text:
        return text
    return SECRET_TEXT.sub("***", text)


def scrub_items(items: Mapping[Any, Any]) -> Event:
    """Return the items, without the values whose names say that they are secret."""
    return {
        scrub_text(str(key)): "***" if str(key).lower() in SECRET_KEYS else scrub_value(value)
        for key, value in items.items()
    }


def scrub(_logger: object, _method: str, event: Event) -> Event:
    """Blot secrets out of a whole event: the last guard, not the first."""
    return scrub_items(event)


def name_trace(_logger: object, _method: str, event: Event) -> Event:
    """Add the id of the trace that a line belongs to, if it does to one."""
    if present := trace_id():
        event["trace_id"] = present
    return event


def configure_logs(service: str, level: str) -> None:
    """Send structlog's and the standard library's log lines to stdout as JSON; level is a name such as "info"."""

    def name_service(_logger: object, _method: str, event: Event) -> Event:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        scrub,
        structlog.processors.add_log_level,
        name_service,
        *([name_trace] if is_tracing() else []),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = [
        structlog.processors.EventRenamer("msg"),
        structlog.processors.JSONRenderer(),
    ]
    lowest = logging.getLevelName({"trace": "DEBUG", "fatal": "CRITICAL", "warn": "WARNING"}.get(level, level.upper()))
    # Lines of our own take the short way: through the standard library, each would cost a call of the service's time.
    structlog.configure(
        processors=[*shared, *render],
        logger_factory=lambda *_: LastingLogger(),
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    foreign = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=foreign))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(lowest)
    for noisy in ("alembic", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Its pool tells with a traceback each time it cannot connect; that a database is away, callers' errors say.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    # That a collector of traces is away is one line for each batch that is lost, and none for each try.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
