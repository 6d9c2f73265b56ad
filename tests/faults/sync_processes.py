"""The sync service of a case as processes that can be killed, paused and asked."""

import time
from collections.abc import Sequence
from uuid import uuid4

from tokhub.sync.v1 import sync_pb2

from libs.errors import RunAlreadyActive, TokhubError
from tests.faults.history import Outcome, refused
from tests.faults.processes import ServiceProcess
from tests.sync.sync_client import SyncClient


class SyncReplica(ServiceProcess):
    """One process of the sync service; accepted are the ids of the runs it has answered for."""

    program = "tests.faults.sync_replica"
    metrics_variable = "SYNC_METRICS_PORT"
    accepted: Sequence[str] = ()

    @property
    def client(self) -> SyncClient:
        """A client of it."""
        return SyncClient(self.target)

    async def create_stores(self, *codes: str) -> None:
        """Create stores; their connections are the token service's."""
        for code in codes:
            request = sync_pb2.CreateStoreRequest(store_code=code, store_name=code, pic_name="somebody")
            await self.client.stores.CreateStore(request)

    async def begin(self, job: sync_pb2.Job.ValueType, store: str | None = None) -> str:
        """Start a run, of all stores without one; return its id, and remember that it was accepted."""
        run_id = (await self.client.start(job, store, str(uuid4()))).id
        self.accepted = [*self.accepted, run_id]
        return run_id

    async def try_to_begin(self, job: sync_pb2.Job.ValueType, key: str = "") -> str:
        """Start a run of all stores as one of many callers; return its id, or that of the one that is active."""
        began = time.monotonic()
        try:
            run_id = (await self.client.start(job, key=key)).id
        except TokhubError as error:
            outcome = refused(error, time.monotonic() - began)
            self._history.note(self.name, f"StartSync {key}", outcome)
            return (
                f"{outcome} {error.metadata.get('run_id', '')}" if isinstance(error, RunAlreadyActive) else f"{outcome}"
            )
        self._history.note(self.name, f"StartSync {key}", Outcome(freshness="STARTED"))
        self.accepted = [*self.accepted, run_id]
        return run_id
