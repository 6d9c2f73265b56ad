"""How many calls of a job this replica has under way: a place is held for a call, not for what is done around it.

While some items have their calls under way, others get their tokens or are stored, so that no place stays empty for it.
Calls that a person waits for have places of their own: a run over many stores fills all others.
"""

from asyncio import Semaphore
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from services.sync.domain.items import Claim
from services.sync.domain.jobs import Job
from services.sync.domain.rate_limit import Lane

MOST_URGENT = 10


class Places:
    """Places by job, for people and for runs over many stores."""

    def __init__(self, limits: Mapping[Job, int]) -> None:
        self._bulk = {job: Semaphore(limit) for job, limit in limits.items()}
        self._urgent = {job: Semaphore(min(limit, MOST_URGENT)) for job, limit in limits.items()}

    def of(self, claim: Claim) -> AbstractAsyncContextManager[None]:
        """Wait for a place and hold it while the context is open."""
        places = self._urgent if claim.lane is Lane.INTERACTIVE else self._bulk
        return places[claim.key.job]
