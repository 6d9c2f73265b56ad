"""Log lines as JSON on stdout, one event a line, with the request id and without secrets."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

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

Event = MutableMapping[str, Any]


def scrub_value(value: Any) -> Any:
    """Return the value with every token it holds blotted out; what JSON does not know becomes text first."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return scrub_items(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub_value(item) for item in value]
    return SECRET_TEXT.sub("***", value if isinstance(value, str) else repr(value))


def scrub_items(items: Mapping[Any, Any]) -> Event:
    """Return the items, without the values whose names say that they are secret."""
    return {
        str(scrub_value(key)): "***" if str(key).lower() in SECRET_KEYS else scrub_value(value)
        for key, value in items.items()
    }


def scrub(_logger: object, _method: str, event: Event) -> Event:
    """Blot secrets out of a whole event: the last guard, not the first."""
    return scrub_items(event)


def configure_logs(service: str, level: str) -> None:
    """Send structlog's and the standard library's log lines to stdout as JSON; level is a name such as "info"."""

    def name_service(_logger: object, _method: str, event: Event) -> Event:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_service,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        scrub,
    ]
    render: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.EventRenamer("msg"),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel({"trace": "DEBUG", "fatal": "CRITICAL", "warn": "WARNING"}.get(level, level.upper()))
    for noisy in ("alembic", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
