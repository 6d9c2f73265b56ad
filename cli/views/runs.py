"""Runs, schedules and the sync log as people see them."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table
from tokhub.sync.v1 import sync_pb2

from cli.output import new_table
from cli.words import NONE, moment
from libs.runs.report import show_failures, show_jobs

COUNTS = ("stores", "done", "failed", "skipped", "videos")


def job_word(job: sync_pb2.Job.ValueType) -> str:
    """Return a job as options name it."""
    return sync_pb2.Job.Name(job).removeprefix("JOB_").lower()


def state_word(state: sync_pb2.RunState.ValueType) -> str:
    """Return how a run stands."""
    return sync_pb2.RunState.Name(state).removeprefix("RUN_STATE_")


def scope_word(run: sync_pb2.Run) -> str:
    """Return what a run is over."""
    if run.user_id:
        return f"user:{run.user_id}"
    return run.store_code or (f"{len(run.store_codes)} stores" if run.store_codes else "all stores")


def started_text(run: sync_pb2.Run) -> str:
    """Return what to do with a run that nobody waits for."""
    return (
        f"Run {run.id} has begun: {job_word(run.job)} for {scope_word(run)}.\n"
        f"`tokhub sync watch {run.id}` follows it, `tokhub sync cancel {run.id}` ends it."
    )


def waiting_text(run_id: str, patience: float) -> str:
    """Return what a watcher does that hears nothing, for patience seconds."""
    return f"Nothing is told of run {run_id} now: waiting up to {patience:g} s for the sync service.\n"


def left_text(run_id: str) -> str:
    """Return what becomes of a run that is no longer watched."""
    return (
        f"\nRun {run_id} goes on without you.\n"
        f"`tokhub sync watch {run_id}` follows it again, `tokhub sync cancel {run_id}` ends it.\n"
    )


def show_end(console: Console, last: sync_pb2.Progress, failures: Mapping[str, str]) -> None:
    """Write what a run came to."""
    show_jobs(console, last)
    show_failures(console, failures)
    console.print(
        f"{state_word(last.state)}: {last.succeeded} of {last.total} stores succeeded, {last.failed} failed, "
        f"{last.skipped} skipped; {last.videos} videos",
        soft_wrap=True,
    )


def run_text(run: sync_pb2.Run) -> str:
    """Return one run."""
    ended = f", ended {moment(run.finish_time)}" if run.finish_time.seconds else ""
    return (
        f"Run {run.id}: {job_word(run.job)} for {scope_word(run)}, {state_word(run.state)}\n"
        f"{run.processed} of {run.total} stores done: {run.succeeded} succeeded, {run.failed} failed, "
        f"{run.skipped} skipped; {run.videos} videos\n"
        f"begun {moment(run.start_time)}{ended} (UTC)"
    )


def runs_table(runs: Iterable[sync_pb2.Run]) -> Table:
    """Return a table with a line for each run."""
    table = new_table("run", "job", "over", "state", *COUNTS, "begun (UTC)", "took", numbers=(*COUNTS, "took"))
    for run in runs:
        counts = (run.total, run.processed, run.failed, run.skipped, run.videos)
        table.add_row(
            run.id,
            job_word(run.job),
            scope_word(run),
            state_word(run.state),
            *(str(count) for count in counts),
            moment(run.start_time),
            took(run),
        )
    return table


def took(run: sync_pb2.Run) -> str:
    """Return how long a run took; a dash while it goes on."""
    if not run.finish_time.seconds:
        return NONE
    return f"{(run.finish_time.ToDatetime() - run.start_time.ToDatetime()).total_seconds():.1f} s"


def logs_table(lines: Iterable[sync_pb2.SyncLog]) -> Table:
    """Return a table with a line for each line of the sync log."""
    table = new_table("time (UTC)", "store", "job", "outcome", "took", "what happened", numbers=("took",))
    for line in lines:
        outcome = sync_pb2.Outcome.Name(line.status).removeprefix("OUTCOME_")
        took_text = f"{line.duration_ms / 1000:.1f} s"
        store = line.store_code if line.HasField("store_code") else NONE
        table.add_row(moment(line.run_time), store, line.job_name, outcome, took_text, line.message)
    return table


def schedule_table(told: sync_pb2.GetScheduleResponse) -> Table:
    """Return a table with a line for each job that starts by itself."""
    table = new_table("name", "cron", "next (UTC)", "last (UTC)", "running")
    for job in told.jobs:
        running = job.run_id if job.running else NONE
        table.add_row(job.name, job.schedule, moment(job.next_run_time), moment(job.last_run_time), running)
    return table


def rehearsal_text(name: str, told: sync_pb2.RunScheduledJobResponse) -> str:
    """Return what a scheduled job would do now."""
    return (
        f"{name} would take in {told.total} stores, of which {told.skipped} are skipped because they must be "
        "connected again. Nothing was started."
    )
