"""A sync service with fail points: `python -m tests.faults.sync_replica`, composed for tests only."""

import os
from typing import Any

from services.sync import __main__ as service
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.snapshot_writes import SnapshotWrites
from services.sync.domain.items import Claim
from tests.faults.fail_points import FailPoints, MovedClock, compose

POINTS = (
    "claimed",
    "before_page_commit",
    "after_page_commit",
    "before_end",
    "after_end",
    "before_create",
)

FAIL = FailPoints.read(os.environ, POINTS)


class FailingItems(ItemRows):
    """Items, with a point after a claim and around the end."""

    async def claim(self, *args: Any) -> Any:
        claim = await super().claim(*args)
        if isinstance(claim, Claim):
            await FAIL.at("claimed")
        return claim

    async def end(self, *args: Any) -> Any:
        await FAIL.at("before_end")
        tally = await super().end(*args)
        await FAIL.at("after_end")
        return tally


class FailingSnapshots(SnapshotWrites):
    """Snapshots, with a point around the commit of a page: the page is fetched, or it is stored."""

    async def save_videos(self, *args: Any, **named: Any) -> Any:
        await FAIL.at("before_page_commit")
        claim = await super().save_videos(*args, **named)
        await FAIL.at("after_page_commit")
        return claim


class FailingCreation(RunCreation):
    """Runs, with a point where one is planned and not stored."""

    async def create(self, *args: Any) -> Any:
        await FAIL.at("before_create")
        return await super().create(*args)


REPLACED = {
    "ItemRows": FailingItems,
    "SnapshotWrites": FailingSnapshots,
    "RunCreation": FailingCreation,
    "SystemClock": MovedClock,
}


if __name__ == "__main__":
    compose("services.sync", REPLACED)
    service.main()
