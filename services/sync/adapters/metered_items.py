"""Counts how items end and why they are put off."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter

from libs.errors import TokhubError
from services.sync.core.work_item import ItemRows
from services.sync.domain.items import Claim, Ending, ItemKey, NotNow
from services.sync.domain.jobs import PARTS
from services.sync.domain.outcomes import Outcome
from services.sync.domain.progress import Tally


class MeteredItems:
    """ItemRows that are counted; of what was skipped before it began nothing is known here."""

    def __init__(self, *, items: ItemRows, registry: CollectorRegistry) -> None:
        self._items = items
        ended = Counter(
            "tokhub_sync_items",
            "Items that this process has ended, by outcome and reason.",
            ["sync_job", "outcome", "reason"],
            registry=registry,
        )
        self._put_off = Counter(
            "tokhub_sync_items_put_off",
            "Attempts that failed and are repeated later, by reason.",
            ["sync_job", "reason"],
            registry=registry,
        )
        # Looking labels up costs more than counting.
        self._ended = cache(ended.labels)
        for job in PARTS:
            self._ended(job, Outcome.SUCCESS, "")

    async def claim(self, key: ItemKey) -> Claim | NotNow | None:
        """Take the item; None when it has ended."""
        return await self._items.claim(key)

    async def end(self, claim: Claim, ending: Ending) -> Tally:
        """End the item."""
        tally = await self._items.end(claim, ending)
        self._ended(claim.key.job, ending.outcome, ending.reason).inc()
        return tally

    async def put_off(self, claim: Claim, *, seconds: float, error: TokhubError) -> None:
        """Let the item wait for another attempt."""
        await self._items.put_off(claim, seconds=seconds, error=error)
        self._put_off.labels(claim.key.job, error.reason).inc()

    async def give_back(self, claim: Claim) -> None:
        """Let the item go."""
        await self._items.give_back(claim)
