"""Runs one sync over all stores and follows it to its end, whoever is restarted meanwhile."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from deploy.local.display import Display, Row
from libs.errors import RunAlreadyActive, TryLater

LABELS = MappingProxyType(
    {sync_pb2.JOB_REFRESH_TOKENS: "refresh tokens", sync_pb2.JOB_USER: "user", sync_pb2.JOB_VIDEO: "video"}
)
ENDED = frozenset({sync_pb2.RUN_STATE_SUCCEEDED, sync_pb2.RUN_STATE_PARTIAL, sync_pb2.RUN_STATE_FAILED})
# Without any news for this long, nobody is going to finish the run.
SILENCE_SECONDS = 180.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The last progress message of a run, and why stores failed."""

    progress: sync_pb2.Progress
    failures: Mapping[str, str]


class SyncStopped(Exception):
    """A run could not be started or followed to its end; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Syncing:
    """Starts runs over all connected stores and watches them."""

    stub: sync_pb2_grpc.SyncServiceStub
    display: Display
    clock: Callable[[], float]

    async def sync_all(self) -> SyncResult:
        """Return how a complete run ended; one that was under way already is waited for first."""
        key = uuid.uuid4().hex
        while True:
            try:
                run_id = await self._start(key)
            except RunAlreadyActive as error:
                await self._follow(error.metadata["run_id"])
            else:
                return await self._follow(run_id)

    async def _start(self, key: str) -> str:
        request = sync_pb2.StartSyncRequest(job=sync_pb2.JOB_ALL, all=sync_pb2.AllStores(), idempotency_key=key)
        give_up = self.clock() + SILENCE_SECONDS
        while True:
            try:
                return (await self.stub.StartSync(request)).run.id
            except TryLater as error:
                if self.clock() > give_up:
                    raise SyncStopped(f"the sync could not be started: {error.message}") from None
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, run_id: str) -> SyncResult:
        last, failures = sync_pb2.Progress(run_id=run_id), dict[str, str]()
        heard = self.clock()
        while last.state not in ENDED:
            try:
                async for message in self.stub.WatchSync(
                    sync_pb2.WatchSyncRequest(run_id=run_id, after_sequence=last.sequence)
                ):
                    last, heard = message.progress, self.clock()
                    failures.update(failures_of(last))
                    self.display.show(rows(last))
            except TryLater as error:
                if self.clock() - heard > SILENCE_SECONDS:
                    raise SyncStopped(f"run {run_id} can no longer be followed: {error.message}") from None
                await asyncio.sleep(RETRY_SECONDS)
        return SyncResult(progress=last, failures=failures)


def failures_of(progress: sync_pb2.Progress) -> dict[str, str]:
    """Return why stores failed that ended since the message before."""
    failed = (ended for ended in progress.ended_stores if ended.outcome == sync_pb2.OUTCOME_FAILED)
    return {ended.store_code: f"{ended.reason}: {ended.message}" for ended in failed}


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
