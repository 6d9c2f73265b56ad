"""Runs one sync over all stores and follows it to its end, whoever is restarted meanwhile."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.clock import Clock
from libs.errors import RunAlreadyActive, TryLater, UpstreamUnavailable
from libs.runs.display import Display
from libs.runs.following import PATIENCE, PAUSE, Follower, failures_of
from libs.runs.report import rows


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The last progress message of a run, and why stores failed."""

    progress: sync_pb2.Progress
    failures: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Syncing:
    """Starts runs over all connected stores and watches them."""

    stub: sync_pb2_grpc.SyncServiceStub
    display: Display
    clock: Clock

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
        give_up = self.clock.monotonic() + PATIENCE
        while True:
            try:
                return (await self.stub.StartSync(request)).run.id
            except TryLater as error:
                if self.clock.monotonic() > give_up:
                    raise UpstreamUnavailable(f"The sync could not be started: {error.message}") from None
            await self.clock.sleep(PAUSE)

    async def _follow(self, run_id: str) -> SyncResult:
        last, failures = sync_pb2.Progress(run_id=run_id), dict[str, str]()
        async for last in Follower(watches=self.stub, clock=self.clock).follow(run_id):
            failures.update(failures_of(last))
            self.display.show(rows(last))
        return SyncResult(progress=last, failures=failures)
