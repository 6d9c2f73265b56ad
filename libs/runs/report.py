"""A run as people see it: rows of a display while it goes on, tables at its end."""

from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from tokhub.sync.v1 import sync_pb2

from libs.runs.display import Row

LABELS = MappingProxyType(
    {sync_pb2.JOB_REFRESH_TOKENS: "refresh tokens", sync_pb2.JOB_USER: "user", sync_pb2.JOB_VIDEO: "video"}
)
SHOWN_FAILURES = 10


def rows(progress: sync_pb2.Progress) -> list[Row]:
    """Return a row for each job of a run, tokens first."""
    jobs = sorted(progress.jobs, key=lambda job: list(LABELS).index(job.job))
    return [
        Row(
            label=LABELS[job.job],
            total=job.total,
            processed=job.processed,
            failed=job.failed,
            detail=detail(job, progress),
        )
        for job in jobs
    ]


def detail(job: sync_pb2.JobProgress, progress: sync_pb2.Progress) -> str:
    """Return what a job has done beside counting stores."""
    if job.job == sync_pb2.JOB_VIDEO:
        return f"{progress.videos} videos"
    skipped = f"{job.skipped} skipped" if job.skipped else ""
    refreshed = f"{job.refreshed} refreshed" if job.job == sync_pb2.JOB_REFRESH_TOKENS else ""
    return ", ".join(filter(None, (refreshed, skipped)))


def show_jobs(console: Console, progress: sync_pb2.Progress) -> None:
    """Print a table of the run by job."""
    console.print(f"Sync run {progress.run_id}", style="italic", soft_wrap=True)
    table = Table()
    table.add_column("job")
    for column in ("stores", "done", "failed"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for row in rows(progress):
        table.add_row(row.label, str(row.total), str(row.processed - row.failed), str(row.failed), row.detail)
    console.print(table)


def show_failures(console: Console, failures: Mapping[str, str]) -> None:
    """Print why stores failed, the first few by code."""
    for code in sorted(failures)[:SHOWN_FAILURES]:
        console.print(f"{code}: {failures[code]}", style="red", markup=False, soft_wrap=True)
    if len(failures) > SHOWN_FAILURES:
        console.print(f"and {len(failures) - SHOWN_FAILURES} more")
