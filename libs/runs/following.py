"""Follows a run to its end, across restarts of the service that tells about it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.clock import Clock
from libs.errors import TryLater, UpstreamUnavailable

ACTIVE = frozenset({sync_pb2.RUN_STATE_QUEUED, sync_pb2.RUN_STATE_RUNNING})
PATIENCE = 180.0  # seconds without the service, after which nobody is going to finish the run
PAUSE = 0.5  # seconds between two attempts
BEFORE_ANY = -1  # sequences begin at 0


def unsaid() -> None:
    """Tell nobody that the service is waited for."""


@dataclass(frozen=True, kw_only=True)
class Follower:
    """Asks for progress; of a channel that also has short calls these must not wait behind long streams.

    It calls waits each time the service goes away, and once only until it is back.
    """

    watches: sync_pb2_grpc.SyncServiceStub
    clock: Clock
    patience: float = PATIENCE
    waits: Callable[[], None] = unsaid

    async def follow(self, run_id: str, seen: int = BEFORE_ANY) -> AsyncGenerator[sync_pb2.Progress, None]:
        """Yield the run's progress with sequences above seen, each once, until it has told how it ended.

        UpstreamUnavailable when the service has been away for patience seconds.
        """
        away_since: float | None = None
        while True:
            ended = False
            try:
                async with aclosing(self._watch(run_id, seen)) as messages:
                    async for progress in messages:
                        away_since = None
                        ended = has_ended(progress.state)
                        if progress.sequence > seen:
                            seen = progress.sequence
                            yield progress
                # An ended run may still have several messages of ended stores: only the stream's end is the end.
                if ended:
                    return
            except TryLater as error:
                # Counted from the break: before it a run may well have had nothing to tell for longer.
                if away_since is None:
                    away_since = self.clock.monotonic()
                    self.waits()
                if self.clock.monotonic() - away_since > self.patience:
                    raise UpstreamUnavailable(f"Run {run_id} can no longer be followed: {error.message}") from None
            await self.clock.sleep(PAUSE)

    async def _watch(self, run_id: str, seen: int) -> AsyncGenerator[sync_pb2.Progress, None]:
        call = self.watches.WatchSync(sync_pb2.WatchSyncRequest(run_id=run_id, after_sequence=max(seen, 0)))
        try:
            async for answer in call:
                yield answer.progress
        finally:
            call.cancel()


def has_ended(state: sync_pb2.RunState.ValueType) -> bool:
    """Return whether a run in this state will never change again."""
    return state not in ACTIVE


def failures_of(progress: sync_pb2.Progress) -> dict[str, str]:
    """Return why stores failed that ended since the message before."""
    failed = (ended for ended in progress.ended_stores if ended.outcome == sync_pb2.OUTCOME_FAILED)
    return {ended.store_code or ended.user_id: f"{ended.reason}: {ended.message}" for ended in failed}
