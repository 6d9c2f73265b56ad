"""Absent fields of messages become null in JSON."""

from typing import Any

from google.protobuf.message import Message


def value_or_none(message: Message, field: str) -> Any:
    """Return an optional field's value, or None while it is absent."""
    return getattr(message, field) if message.HasField(field) else None
