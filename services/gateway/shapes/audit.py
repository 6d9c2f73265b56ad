"""Recorded calls, and whether they are whole, as JSON."""

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


def verification(message: audit_pb2.AuditSummary) -> dict[str, Any]:
    """Return what a verification found."""
    kind = audit_pb2.AuditBreakKind.Name(message.broken.kind).removeprefix("AUDIT_BREAK_KIND_")
    return {
        "whole": message.whole,
        "broken": {"sequence": message.broken.sequence, "kind": kind} if message.HasField("broken") else None,
        "rows": message.rows,
        "firstSequence": message.first_sequence,
        "checkpoint": message.checkpoint or None,
        "unchainedRows": message.unchained_rows,
    }
