"""Between the messages of sync.proto and the domain's values."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from tokhub.sync.v1 import account_pb2, sync_pb2

from libs.rpc.times import timestamp
from services.sync.core.show_schedule import Entry
from services.sync.domain.connections import Standing
from services.sync.domain.jobs import Job
from services.sync.domain.logs import SyncLog
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.progress import Progress
from services.sync.domain.rate_limit import EndpointBudget
from services.sync.domain.runs import EndedSubject, JobCounts, Run, Scope
from services.sync.domain.snapshots import AccountMetrics, UserSnapshot, VideoSnapshot
from services.sync.domain.stores import LatestUserStats, LatestVideoStats, Store
from services.sync.domain.subjects import Subject

JOBS = {
    sync_pb2.JOB_ALL: Job.ALL,
    sync_pb2.JOB_USER: Job.USER,
    sync_pb2.JOB_VIDEO: Job.VIDEO,
    sync_pb2.JOB_REFRESH_TOKENS: Job.REFRESH_TOKENS,
}
JOB_VALUES = {job: value for value, job in JOBS.items()}
STATE_VALUES = {
    RunState.QUEUED: sync_pb2.RUN_STATE_QUEUED,
    RunState.RUNNING: sync_pb2.RUN_STATE_RUNNING,
    RunState.SUCCEEDED: sync_pb2.RUN_STATE_SUCCEEDED,
    RunState.PARTIAL: sync_pb2.RUN_STATE_PARTIAL,
    RunState.FAILED: sync_pb2.RUN_STATE_FAILED,
    RunState.CANCELLED: sync_pb2.RUN_STATE_CANCELLED,
}
OUTCOME_VALUES = {
    Outcome.SUCCESS: sync_pb2.OUTCOME_SUCCESS,
    Outcome.FAILED: sync_pb2.OUTCOME_FAILED,
    Outcome.SKIPPED: sync_pb2.OUTCOME_SKIPPED,
}

STANDINGS = {
    sync_pb2.STORE_STATUS_CONNECTED: Standing.USABLE,
    sync_pb2.STORE_STATUS_NEED_RECONNECT: Standing.NEEDS_RECONNECT,
    sync_pb2.STORE_STATUS_NOT_CONNECTED: Standing.NEVER_CONNECTED,
    sync_pb2.STORE_STATUS_DISCONNECTED: Standing.DISCONNECTED,
}


def duration(span: timedelta | None) -> Duration | None:
    """Return a span of time; nothing stays nothing."""
    if span is None:
        return None
    message = Duration()
    message.FromTimedelta(span)
    return message


def scope_of(request: sync_pb2.StartSyncRequest | sync_pb2.RunSyncRequest) -> Scope:
    """Return what a run shall cover."""
    job, chosen = JOBS[request.job], request.WhichOneof("scope")
    if chosen == "stores":
        return Scope(job, None, tuple(map(Subject.store, request.stores.store_codes)))
    if chosen == "user_id":
        return Scope(job, Subject.user(request.user_id))
    return Scope(job, Subject.store(request.store_code) if chosen == "store_code" else None)


def budget_message(budget: EndpointBudget) -> sync_pb2.EndpointBudget:
    """Return an endpoint's budget."""
    return sync_pb2.EndpointBudget(
        endpoint=budget.endpoint,
        limit=budget.limit,
        used=budget.used,
        resume_time=timestamp(budget.resumes_at),
    )


def store_message(store: Store) -> sync_pb2.Store:
    """Return a store's message."""
    return sync_pb2.Store(
        store_code=store.store_code,
        store_name=store.store_name,
        pic_name=store.pic_name,
        pic_contact=store.pic_contact,
        team_id=store.team_id,
        create_time=timestamp(store.created_at),
        last_sync_time=timestamp(store.last_sync_at),
        latest_user_stats=latest_user_message(store.user_stats) if store.user_stats else None,
        latest_video_stats=latest_video_message(store.video_stats) if store.video_stats else None,
    )


def latest_user_message(stats: LatestUserStats) -> sync_pb2.LatestUserStats:
    """Return the newest account figures."""
    return sync_pb2.LatestUserStats(
        follower_count=stats.follower_count, likes_count=stats.likes_count, video_count=stats.video_count
    )


def latest_video_message(stats: LatestVideoStats) -> sync_pb2.LatestVideoStats:
    """Return the newest day of videos, added up."""
    return sync_pb2.LatestVideoStats(total_videos=stats.total_videos, total_views=stats.total_views)


def user_stats_message(row: UserSnapshot) -> sync_pb2.UserStats:
    """Return an account snapshot's message."""
    return sync_pb2.UserStats(
        id=row.id,
        store_code=row.store_code,
        snapshot_date=row.snapshot_date.isoformat(),
        follower_count=row.follower_count,
        following_count=row.following_count,
        likes_count=row.likes_count,
        video_count=row.video_count,
        display_name=row.display_name,
        avatar_url=row.avatar_url,
        create_time=timestamp(row.created_at),
    )


def metrics_message(account: AccountMetrics) -> account_pb2.AccountMetrics:
    """Return a creator's account."""
    return account_pb2.AccountMetrics(
        username=account.username,
        display_name=account.display_name,
        avatar_url=account.avatar_url,
        follower_count=account.follower_count,
        following_count=account.following_count,
        likes_count=account.likes_count,
        video_count=account.video_count,
        last_sync_time=timestamp(account.fetched_at),
    )


def video_stats_message(row: VideoSnapshot) -> sync_pb2.VideoStats:
    """Return a video snapshot's message."""
    return sync_pb2.VideoStats(
        id=row.id,
        store_code=row.store_code,
        snapshot_date=row.snapshot_date.isoformat(),
        video_id=row.video_id,
        view_count=row.view_count,
        like_count=row.like_count,
        comment_count=row.comment_count,
        share_count=row.share_count,
        description=row.description,
        create_time=timestamp(row.created_at),
    )


def counts_message(counts: JobCounts) -> sync_pb2.JobProgress:
    """Return one job's counts."""
    return sync_pb2.JobProgress(
        job=JOB_VALUES[counts.job],
        total=counts.total,
        processed=counts.processed,
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
        refreshed=counts.refreshed,
    )


def run_message(run: Run) -> sync_pb2.Run:
    """Return a run's message."""
    return sync_pb2.Run(
        id=run.id,
        job=JOB_VALUES[run.scope.job],
        store_code=run.scope.subject.store_code if run.scope.subject else "",
        user_id=run.scope.subject.user_id if run.scope.subject else "",
        store_codes=[subject.id for subject in run.scope.listed],
        state=STATE_VALUES[run.state],
        total=run.total,
        processed=run.processed,
        succeeded=run.succeeded,
        failed=run.failed,
        skipped=run.skipped,
        videos=run.videos,
        jobs=[counts_message(counts) for counts in run.jobs],
        sequence=run.sequence,
        create_time=timestamp(run.created_at),
        start_time=timestamp(run.started_at),
        finish_time=timestamp(run.finished_at),
    )


def ended_message(ended: EndedSubject) -> sync_pb2.EndedStore:
    """Return the message about a store that has ended."""
    return sync_pb2.EndedStore(
        store_code=ended.subject.store_code,
        user_id=ended.subject.user_id,
        outcome=OUTCOME_VALUES[ended.outcome],
        reason=ended.reason,
        message=ended.message,
        sequence=ended.sequence,
        records=ended.records,
        duration=duration(ended.duration),
    )


def progress_message(progress: Progress) -> sync_pb2.Progress:
    """Return a progress message."""
    run = progress.run
    return sync_pb2.Progress(
        run_id=run.id,
        sequence=progress.sequence,
        job=JOB_VALUES[run.scope.job],
        state=STATE_VALUES[run.state],
        total=run.total,
        processed=run.processed,
        succeeded=run.succeeded,
        failed=run.failed,
        skipped=run.skipped,
        videos=run.videos,
        percent=run.percent,
        eta=duration(progress.eta),
        ended_stores=[ended_message(ended) for ended in progress.ended],
        jobs=[counts_message(counts) for counts in run.jobs],
    )


def scheduled_message(entry: Entry) -> sync_pb2.ScheduledJob:
    """Return a schedule's message."""
    return sync_pb2.ScheduledJob(
        name=entry.schedule.name,
        schedule=entry.schedule.cron.text,
        next_run_time=timestamp(entry.next_run),
        running=entry.active_run is not None,
        run_id=entry.active_run or "",
        last_run_time=timestamp(entry.last_run),
    )


def log_message(line: SyncLog) -> sync_pb2.SyncLog:
    """Return a sync log line's message."""
    return sync_pb2.SyncLog(
        id=line.id,
        store_code=line.store_code,
        job_name=line.job_name,
        status=OUTCOME_VALUES[line.status],
        message=line.message,
        raw_error=line.raw_error,
        duration_ms=line.duration_ms,
        run_time=timestamp(line.run_time),
    )
