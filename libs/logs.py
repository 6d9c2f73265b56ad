"""Log lines as JSON on stdout, one event a line, with the request id and without secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_KEYS = frozenset(
    {"access_token", "refresh_token", "client_secret", "app_secret", "code", "state", "authorization", "password"}
)
# Prefixes of Login Kit and TikTok Shop tokens, and credentials inside a URL.
SECRET_TEXT = re.compile(r"\b(?:act|rft|clt)\.[A-Za-z0-9._!*-]+|\b(?:TTP|ROW|GCP)_[A-Za-z0-9_-]{16,}|(?<=://)[^\s/@]+@")

Event = MutableMapping[str, Any]


def scrub_value(value: Any) -> Any:
    """Return the value with every token it holds blotted out."""
    if isinstance(value, str):
        return SECRET_TEXT.sub("***", value)
    if isinstance(value, dict):
        return {key: "***" if key in SECRET_KEYS else scrub_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_value(item) for item in value]
    return value


def scrub(_logger: object, _method: str, event: Event) -> Event:
    """Blot secrets out of a whole event: the last guard, not the first."""
    return {key: "***" if key in SECRET_KEYS else scrub_value(value) for key, value in event.items()}


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
