"""Follows a run to its end, across restarts of the service that tells about it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.clock import Clock
from libs.errors import TryLater
from services.gateway.shapes.runs import has_ended

PATIENCE = 30.0  # seconds without a word before the follower gives up
PAUSE = 0.5  # seconds between two attempts
BEFORE_ANY = -1  # sequences begin at 0


@dataclass(frozen=True, kw_only=True)
class Follower:
    """Asks for progress on a channel of its own, so that long streams never stand before short calls."""

    watches: sync_pb2_grpc.SyncServiceStub
    clock: Clock

    async def follow(self, run_id: str, seen: int = BEFORE_ANY) -> AsyncGenerator[sync_pb2.Progress, None]:
        """Yield the run's progress with sequences above seen until it ends; raise TryLater after PATIENCE."""
        heard = self.clock.monotonic()
        while True:
            ended = False
            try:
                async with aclosing(self._watch(run_id, seen)) as messages:
                    async for progress in messages:
                        heard = self.clock.monotonic()
                        ended = has_ended(progress.state)
                        if progress.sequence > seen:
                            seen = progress.sequence
                            yield progress
                # An ended run may still have several messages of ended stores: only the stream's end is the end.
                if ended:
                    return
            except TryLater:
                if self.clock.monotonic() - heard > PATIENCE:
                    raise
            await self.clock.sleep(PAUSE)

    async def _watch(self, run_id: str, seen: int) -> AsyncGenerator[sync_pb2.Progress, None]:
        call = self.watches.WatchSync(sync_pb2.WatchSyncRequest(run_id=run_id, after_sequence=max(seen, 0)))
        try:
            async for answer in call:
                yield answer.progress
        finally:
            call.cancel()
