"""Every call to TikTok passes here: only while the endpoint answers, only within the shared rate limit."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from libs.errors import UpstreamRateLimited
from services.sync.domain.rate_limit import Lane

Answer = TypeVar("Answer")


class Circuit(Protocol):
    """Keeps calls away from an endpoint that fails."""

    def watch(self, endpoint: str) -> AbstractAsyncContextManager[None]:
        """Watch one call; UpstreamUnavailable while the endpoint is left alone."""
        ...


class Budget(Protocol):
    """Slots of an endpoint's rate limit, shared by all replicas."""

    def slot(self, endpoint: str, lane: Lane) -> AbstractAsyncContextManager[None]:
        """Wait for a slot and hold it; the call should leave at once."""
        ...

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot for so many seconds."""
        ...


class UpstreamGate:
    """Lets calls through."""

    def __init__(self, *, circuit: Circuit, budget: Budget) -> None:
        self._circuit = circuit
        self._budget = budget

    async def call(self, endpoint: str, lane: Lane, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make the call when its turn has come; UpstreamUnavailable while the endpoint rests, and what it raises."""
        async with self._circuit.watch(endpoint):
            try:
                async with self._budget.slot(endpoint, lane):
                    return await call()
            except UpstreamRateLimited as limited:
                await self._budget.slow_down(endpoint, limited.retry_after)
                raise
