"""Runs, their progress and what they came to, as JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tokhub.sync.v1 import sync_pb2

from services.gateway.shapes.times import milliseconds, time_or_none

JOBS: Mapping[str, sync_pb2.Job.ValueType] = MappingProxyType(
    {
        "all": sync_pb2.JOB_ALL,
        "user": sync_pb2.JOB_USER,
        "video": sync_pb2.JOB_VIDEO,
        "refresh_tokens": sync_pb2.JOB_REFRESH_TOKENS,
    }
)
# The reason that the sync service records for what a cancelled run had left, and what it says of it.
CANCELLED = "CANCELLED: The run was cancelled"


def job_word(job: sync_pb2.Job.ValueType) -> str:
    """Return a job as requests name it."""
    return sync_pb2.Job.Name(job).removeprefix("JOB_").lower()


def state_word(state: sync_pb2.RunState.ValueType) -> str:
    """Return a state without its prefix."""
    return sync_pb2.RunState.Name(state).removeprefix("RUN_STATE_")


def outcome_word(outcome: sync_pb2.Outcome.ValueType) -> str:
    """Return an outcome without its prefix."""
    return sync_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_")


def counts(of: sync_pb2.Run | sync_pb2.Progress | sync_pb2.JobProgress) -> dict[str, int]:
    """Return what runs, progress and jobs all count."""
    return {
        "total": of.total,
        "processed": of.processed,
        "succeeded": of.succeeded,
        "failed": of.failed,
        "skipped": of.skipped,
    }


def run(one: sync_pb2.Run) -> dict[str, Any]:
    """Return a run."""
    return {
        "id": one.id,
        "job": job_word(one.job),
        "state": state_word(one.state),
        **counts(one),
        "videos": one.videos,
        "startedAt": time_or_none(one, "start_time"),
        "finishedAt": time_or_none(one, "finish_time"),
    }


def progress(message: sync_pb2.Progress) -> dict[str, Any]:
    """Return a progress message; eta is in seconds."""
    return {
        "runId": message.run_id,
        "sequence": message.sequence,
        "job": job_word(message.job),
        "state": state_word(message.state),
        **counts(message),
        "videos": message.videos,
        "percent": message.percent,
        "eta": milliseconds(message.eta) / 1000 if message.HasField("eta") else None,
        "endedStores": [ended_store(one) for one in message.ended_stores],
        "jobs": [{"job": job_word(one.job), **counts(one), "refreshed": one.refreshed} for one in message.jobs],
    }


def ended_store(one: sync_pb2.EndedStore) -> dict[str, Any]:
    """Return a store, or a creator, that has ended; duration is in milliseconds."""
    return {
        **({"userId": one.user_id} if one.user_id else {"storeCode": one.store_code}),
        "outcome": outcome_word(one.outcome),
        "reason": one.reason,
        "message": one.message,
        "sequence": one.sequence,
        "records": one.records,
        "duration": milliseconds(one.duration),
    }


def summary(one: sync_pb2.Run) -> dict[str, Any]:
    """Return what a run over all stores came to, by job; only jobs it had."""
    jobs = {job.job: job for job in one.jobs}
    described = {
        "refresh_tokens": refresh_summary(jobs.get(sync_pb2.JOB_REFRESH_TOKENS)),
        "user_sync": sync_summary(jobs.get(sync_pb2.JOB_USER)),
        "video_sync": video_summary(jobs.get(sync_pb2.JOB_VIDEO), one.videos),
    }
    return {name: value for name, value in described.items() if value is not None}


def refresh_summary(job: sync_pb2.JobProgress | None) -> dict[str, int] | None:
    """Return what a refresh of all tokens came to."""
    return {"total": job.total, "refreshed": job.refreshed, "failed": job.failed} if job else None


def sync_summary(job: sync_pb2.JobProgress | None) -> dict[str, int] | None:
    """Return what a sync of all stores came to."""
    if job is None:
        return None
    return {"total": job.total, "successful": job.succeeded, "failed": job.failed, "skipped": job.skipped}


def video_summary(job: sync_pb2.JobProgress | None, videos: int) -> dict[str, int] | None:
    """Return what a video sync of all stores came to."""
    counted = sync_summary(job)
    return {**counted, "totalVideos": videos} if counted is not None else None


def single_result(run: sync_pb2.Run, ended: Sequence[sync_pb2.EndedStore]) -> dict[str, Any]:
    """Return what a run over one store, or for one creator, came to; duration is in milliseconds."""
    cancelled = [CANCELLED] if is_cancelled(run) else []
    return {
        "success": not cancelled and all(one.outcome == sync_pb2.OUTCOME_SUCCESS for one in ended),
        **({"userId": run.user_id} if run.user_id else {"storeCode": run.store_code}),
        "message": "; ".join([*cancelled, *(told(one) for one in ended)]),
        "duration": sum(milliseconds(one.duration) for one in ended),
        "recordsProcessed": sum(one.records for one in ended),
    }


def is_cancelled(run: sync_pb2.Run) -> bool:
    """Return whether somebody ended the run before its time."""
    return run.state == sync_pb2.RUN_STATE_CANCELLED


def cut_short(run: sync_pb2.Run) -> str:
    """Return how far a run over several stores had come when it was cancelled."""
    return f"{CANCELLED}: {run.processed} of {run.total} stores had ended"


def told(one: sync_pb2.EndedStore) -> str:
    """Return what happened, led by the reason when there is one."""
    if not one.reason or one.message.startswith(one.reason):
        return one.message
    return f"{one.reason}: {one.message}" if one.message else one.reason


def carried_out(one: sync_pb2.Run) -> bool:
    """Return whether a run dealt with every store it had, whatever came of it."""
    return one.state != sync_pb2.RUN_STATE_FAILED or one.processed >= one.total


def sync_log(line: sync_pb2.SyncLog) -> dict[str, Any]:
    """Return a line of the sync log."""
    return {
        "id": line.id,
        "storeCode": line.store_code if line.HasField("store_code") else None,
        "jobName": line.job_name,
        "status": outcome_word(line.status),
        "message": line.message,
        "rawError": line.raw_error if line.HasField("raw_error") else None,
        "durationMs": line.duration_ms,
        "runTime": time_or_none(line, "run_time"),
    }


def schedule(told: sync_pb2.GetScheduleResponse) -> dict[str, Any]:
    """Return the jobs that start by themselves."""
    return {"enabled": told.enabled, "timezone": told.timezone, "jobs": [scheduled_job(job) for job in told.jobs]}


def scheduled_job(job: sync_pb2.ScheduledJob) -> dict[str, Any]:
    """Return one of them."""
    return {
        "name": job.name,
        "schedule": job.schedule,
        "nextRun": time_or_none(job, "next_run_time"),
        "running": job.running,
    }
