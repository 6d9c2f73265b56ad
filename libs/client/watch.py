"""Hears from the token service what happens to connections, for as long as it runs, whoever is restarted meanwhile."""

import asyncio
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.client.cache import TokenCache
from libs.clock import Clock
from libs.errors import UpstreamUnavailable

ASK_EVERY = 1.0  # seconds; an open stream without events does not show that anybody is at its other end
ANSWER_WITHIN = 1.0  # seconds
BEGIN_WITHIN = 5.0  # seconds
PAUSES = (0.1, 0.3, 1.0, 3.0, 10.0)  # seconds before the next attempt, the last one for ever

log = structlog.get_logger()


class TokenWatch:
    """Drops from the cache what has changed, and says how long the rest can be trusted."""

    def __init__(self, *, channel: grpc.aio.Channel, cache: TokenCache, clock: Clock) -> None:
        self._tokens = token_pb2_grpc.TokenServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
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
            await self._clock.sleep(PAUSES[min(self._failures, len(PAUSES) - 1)])
            self._failures += 1

    async def _watch(self) -> None:
        """Hear one stream to its end."""
        call = self._tokens.WatchTokens(token_pb2.WatchTokensRequest())
        try:
            news = aiter(call)
            async with asyncio.timeout(BEGIN_WITHIN):
                await anext(news)
            self._begin()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask_on())
                async for one in news:
                    self._cache.changed(one.event.connection_id)
                raise UpstreamUnavailable("The stream of events has ended.")
        finally:
            call.cancel()

    def _begin(self) -> None:
        self._cache.begin()
        if self._failures:
            log.info("tokens are cached again")
        self._failures = 0

    async def _ask_on(self) -> None:
        """Ask again and again whether the service is there; raise TokhubError when it does not answer."""
        while True:
            await self._clock.sleep(ASK_EVERY)
            asked = self._clock.monotonic()
            await self._health.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_WITHIN)
            self._cache.heard(asked)


def is_cancelled() -> bool:
    """Return whether this task is to end: gRPC may answer a cancellation with an error of the call."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def first(errors: BaseExceptionGroup[BaseException]) -> str:
    """Return what the first of several errors says."""
    error = errors.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else str(error) or type(error).__name__
