"""Recorded calls as JSON."""

from typing import Any

from tokhub.audit.v1 import audit_pb2

from services.gateway.shapes.times import stamp_text, time_or_none


def record(message: audit_pb2.AuditRecord) -> dict[str, Any]:
    """Return a call that was recorded."""
    return {
        "callId": message.call_id,
        "beginTime": stamp_text(message.begin_time),
        "endTime": time_or_none(message, "end_time"),
        "actor": message.actor,
        "method": message.method,
        "requestJson": message.request_json,
        "requestId": message.request_id,
        "outcome": message.outcome or None,
    }
