"""Follows a run to its end, whoever is restarted meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.errors import TryLater, UpstreamUnavailable

ENDED = frozenset(
    {
        sync_pb2.RUN_STATE_SUCCEEDED,
        sync_pb2.RUN_STATE_PARTIAL,
        sync_pb2.RUN_STATE_FAILED,
        sync_pb2.RUN_STATE_CANCELLED,
    }
)
# Without any news for this long, nobody is going to finish the run.
SILENCE_SECONDS = 180.0
RETRY_SECONDS = 1.0


async def follow(
    stub: sync_pb2_grpc.SyncServiceStub, run_id: str, clock: Callable[[], float]
) -> AsyncIterator[sync_pb2.Progress]:
    """Yield what is told of a run, at last how it ended; raise UpstreamUnavailable when nothing is told any more."""
    last, heard = sync_pb2.Progress(run_id=run_id), clock()
    while last.state not in ENDED:
        request = sync_pb2.WatchSyncRequest(run_id=run_id, after_sequence=last.sequence)
        try:
            async for message in stub.WatchSync(request):
                last, heard = message.progress, clock()
                yield last
        except TryLater as error:
            if clock() - heard > SILENCE_SECONDS:
                raise UpstreamUnavailable(f"Run {run_id} can no longer be followed: {error.message}") from None
            await asyncio.sleep(RETRY_SECONDS)


def failures_of(progress: sync_pb2.Progress) -> dict[str, str]:
    """Return why stores failed that ended since the message before."""
    failed = (ended for ended in progress.ended_stores if ended.outcome == sync_pb2.OUTCOME_FAILED)
    return {ended.store_code or ended.user_id: f"{ended.reason}: {ended.message}" for ended in failed}
