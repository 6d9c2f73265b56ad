"""A client of the sync service, for tests."""

from collections.abc import AsyncIterator, Sequence

import grpc
from tokhub.sync.v1 import report_pb2_grpc, sync_pb2, sync_pb2_grpc


class SyncClient:
    """Calls one sync service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stores = sync_pb2_grpc.StoreServiceStub(channel)
        self.stats = sync_pb2_grpc.StatsServiceStub(channel)
        self.runs = sync_pb2_grpc.SyncServiceStub(channel)
        self.reports = report_pb2_grpc.ReportServiceStub(channel)

    async def start(self, job: sync_pb2.Job.ValueType, store: str | None = None, key: str = "") -> sync_pb2.Run:
        request = sync_pb2.StartSyncRequest(job=job, idempotency_key=key)
        if store is None:
            request.all.SetInParent()
        else:
            request.store_code = store
        return (await self.runs.StartSync(request)).run

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[sync_pb2.Progress]:
        request = sync_pb2.WatchSyncRequest(run_id=run_id, after_sequence=after)
        async for message in self.runs.WatchSync(request):
            yield message.progress

    async def run(self, job: sync_pb2.Job.ValueType, store: str | None = None) -> sync_pb2.Progress:
        """Start a run and return its last message, with the stores of all messages."""
        started = await self.start(job, store)
        return await self.end_of(started.id)

    async def end_of(self, run_id: str, after: int = 0) -> sync_pb2.Progress:
        ended: list[sync_pb2.EndedStore] = []
        last = sync_pb2.Progress()
        async for last in self.watch(run_id, after):
            ended.extend(last.ended_stores)
        del last.ended_stores[:]
        last.ended_stores.extend(ended)
        return last

    async def logs(self, store: str = "") -> Sequence[sync_pb2.SyncLog]:
        return (await self.runs.ListSyncLogs(sync_pb2.ListSyncLogsRequest(store_code=store, limit=500))).logs
