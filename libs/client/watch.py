"""Hears from the token service what happens to connections, for as long as it runs, whoever is restarted meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.client.cache import TokenCache
from libs.clock import Clock
from libs.errors import UpstreamUnavailable
from libs.jitter import uniform

ASK_EVERY = 1.0  # seconds; an open stream without events does not show that anybody is at its other end
ANSWER_WITHIN = 1.0  # seconds
BEGIN_WITHIN = 5.0  # seconds
PAUSES = (0.1, 0.3, 1.0, 3.0, 10.0)  # seconds before the next attempt, half more or less; the last one for ever

Open = Callable[[], grpc.aio.Channel]

log = structlog.get_logger()


class TokenWatch:
    """Drops from the cache what has changed, and says how long the rest can be trusted."""

    def __init__(self, *, opening: Open, cache: TokenCache, clock: Clock) -> None:
        self._open = opening
        self._cache = cache
        self._clock = clock
        self._failures = 0

    async def run(self) -> None:
        """Watch until the task is cancelled."""
        while True:
            try:
                await self._watch()
            except* Exception as errors:  # noqa: BLE001 - whatever ends a stream, the next one begins
                if not self._failures:
                    log.warning("tokens are not cached: what happens to them is not heard", problem=first(errors))
            if is_cancelled():
                return
            await self._clock.sleep(pause_after(self._failures))
            self._failures += 1

    async def _watch(self) -> None:
        """Hear one stream to its end, over a channel of its own: who is asked is then whoever the stream comes from."""
        async with self._open() as channel:
            call = token_pb2_grpc.TokenServiceStub(channel).WatchTokens(token_pb2.WatchTokensRequest())
            try:
                news = aiter(call)
                async with asyncio.timeout(BEGIN_WITHIN):
                    await anext(news)
                self._cache.begin()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._ask_on(health_pb2_grpc.HealthStub(channel)))
                    async for one in news:
                        self._cache.changed(one.event.connection_id)
                    raise UpstreamUnavailable("The stream of events has ended.")
            finally:
                call.cancel()

    async def _ask_on(self, health: Any) -> None:
        """Ask again and again whether the service is there; raise TokhubError when it does not say so."""
        while True:
            await self._clock.sleep(ASK_EVERY)
            asked = self._clock.monotonic()
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_WITHIN)
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                raise UpstreamUnavailable("The token service says that it is not ready.")
            self._cache.heard(asked)
            self._reset_pauses()

    def _reset_pauses(self) -> None:
        """Pause shortly again, now that a stream has lasted: the first message of one shows nothing of that."""
        if self._failures:
            log.info("tokens are cached again")
        self._failures = 0


def pause_after(failures: int) -> float:
    """Return seconds: growing, and not the same for all whom a restart cut off."""
    return PAUSES[min(failures, len(PAUSES) - 1)] * uniform(0.5, 1.5)


def is_cancelled() -> bool:
    """Return whether this task is to end: gRPC may answer a cancellation with an error of the call."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def first(errors: BaseExceptionGroup[BaseException]) -> str:
    """Return what the first of several errors says."""
    error = errors.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else str(error) or type(error).__name__
