"""The key ring, and how rows come to be sealed anew, as JSON; the names of fields are those of their messages."""

from typing import Any

from tokhub.token.v1 import vault_pb2

from services.gateway.shapes.times import milliseconds, stamp_text, time_or_none


def key_ring(told: vault_pb2.GetKeyRingResponse) -> dict[str, Any]:
    """Return the keys without their bytes, and who knows them."""
    return {
        "keys": [key(each) for each in told.keys],
        "liveReplicas": list(told.live_replicas),
        "unrecognisedRows": told.unrecognised_rows,
    }


def key(one: vault_pb2.Key) -> dict[str, Any]:
    """Return a key without its bytes."""
    return {
        "id": one.id,
        "active": one.active,
        "preferred": one.preferred,
        "firstSeenTime": stamp_text(one.first_seen_time),
        "activateTime": time_or_none(one, "activate_time"),
        "rows": one.rows,
        "encryptions": one.encryptions,
        "replicas": list(one.replicas),
    }


def rotation(step: vault_pb2.RotationProgress) -> dict[str, Any]:
    """Return how a rotation stands."""
    return {
        "keyId": step.key_id,
        "stage": vault_pb2.RotationStage.Name(step.stage).removeprefix("ROTATION_STAGE_"),
        "total": step.total,
        "rewritten": step.rewritten,
        "unreadable": step.unreadable,
        "rowsPerSecond": step.rows_per_second,
        "startTime": time_or_none(step, "start_time"),
    }


def rotation_summary(summary: vault_pb2.RotationSummary) -> dict[str, Any]:
    """Return how a rotation ended; duration is in milliseconds."""
    return {
        "keyId": summary.key_id,
        "total": summary.total,
        "rewritten": summary.rewritten,
        "unreadable": summary.unreadable,
        "duration": milliseconds(summary.duration),
    }
