"""How much of TikTok's rate limit is in use, for those who watch it."""

from typing import Protocol

from services.sync.domain.rate_limit import EndpointBudget, RateLimit


class BudgetLog(Protocol):
    """Where calls are counted."""

    limit: RateLimit

    async def state(self) -> list[EndpointBudget]:
        """Return how much is in use, endpoint by endpoint."""
        ...


class BudgetViewer:
    """Shows the budget that all replicas share."""

    def __init__(self, log: BudgetLog) -> None:
        self._log = log

    @property
    def window(self) -> float:
        """Seconds in which the limit holds."""
        return self._log.limit.window

    async def show(self) -> list[EndpointBudget]:
        """Return every endpoint that was ever called."""
        return await self._log.state()
