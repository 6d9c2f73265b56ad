"""Runs as the console's pages show them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tokhub.sync.v1 import sync_pb2

from libs.runs.following import has_ended
from services.gateway.shapes.runs import counts, state_word, told

LABELS: Mapping[sync_pb2.Job.ValueType, str] = MappingProxyType(
    {
        sync_pb2.JOB_ALL: "Everything",
        sync_pb2.JOB_USER: "Accounts",
        sync_pb2.JOB_VIDEO: "Videos",
        sync_pb2.JOB_REFRESH_TOKENS: "Tokens",
    }
)


def run_view(run: sync_pb2.Run) -> dict[str, Any]:
    """Return a run for a template."""
    return {
        "id": run.id,
        "label": LABELS[run.job],
        "scope": scope(run),
        "state": state_word(run.state),
        "active": not has_ended(run.state),
        "at": run.start_time if run.HasField("start_time") else run.create_time,
        "finished": run.finish_time,
        "lasted": lasted(run),
        "videos": run.videos,
        "jobs": [{"label": LABELS[one.job], **counts(one)} for one in run.jobs],
        **counts(run),
    }


def scope(run: sync_pb2.Run) -> str:
    """Return what a run is over, in words."""
    if run.user_id:
        return f"creator {run.user_id}"
    if run.store_codes:
        return f"{len(run.store_codes)} stores"
    return run.store_code or "all stores"


def lasted(run: sync_pb2.Run) -> float | None:
    """Return how many seconds a run took, None while it has not ended."""
    if not (run.HasField("start_time") and run.HasField("finish_time")):
        return None
    return (run.finish_time.ToDatetime() - run.start_time.ToDatetime()).total_seconds()


def failures(ended: Iterable[sync_pb2.EndedStore]) -> list[dict[str, str]]:
    """Return the stores and creators that failed, and why."""
    failed = (one for one in ended if one.outcome == sync_pb2.OUTCOME_FAILED)
    return [{"who": one.store_code or one.user_id, "why": told(one)} for one in failed]
