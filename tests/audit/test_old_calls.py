"""Recorded calls that are too old go, and what is kept still verifies from its first row on."""

from collections.abc import Sequence

import asyncpg
import pytest

from libs.audit.chain import Row
from libs.audit.retention import METHOD, Retention, told
from libs.audit.verification import Break, Kind, Verification, Verified
from libs.database.chained_calls import ChainedCalls
from tests.audit.conftest import Trail, keys

# Until tomorrow, so that all rows are too old but the last one, which always stays.
NONE_KEPT = -1


def retention(trail: Trail, days: int = NONE_KEPT) -> Retention:
    return Retention(rows=trail.rows, trail=trail.calls, days=days)


async def sequences(trail: Trail) -> list[int]:
    return [row["sequence"] for row in await trail.pool.fetch("SELECT sequence FROM audit_calls ORDER BY id")]


async def test_what_is_kept_verifies_from_its_first_row_on(trail: Trail) -> None:
    await trail.record(5)
    await retention(trail).sweep()
    await trail.record(2)
    assert await sequences(trail) == [5, 6, 7, 8]
    found = await trail.verified()
    assert (found.first, found.rows, found.broken) == (5, 4, None)


async def test_rows_young_enough_stay(trail: Trail) -> None:
    await trail.record(3)
    for days in (0, 1):
        await retention(trail, days).sweep()
    assert await sequences(trail) == [1, 2, 3]


async def test_rows_go_again_and_again(trail: Trail) -> None:
    for _ in range(3):
        await trail.record(3)
        await retention(trail).sweep()
    assert await sequences(trail) == [11, 12]
    assert await trail.broken() is None


async def test_where_the_trail_begins_is_listed(trail: Trail) -> None:
    await trail.record(3)
    await retention(trail).sweep()
    (newest, *_) = await trail.calls.newest(before=None, actor="", limit=10)
    assert (newest.actor, newest.method, newest.outcome) == ("background", METHOD, "PRUNED")
    assert newest.request["keptFrom"] == 3


async def test_rows_that_still_wait_to_be_deleted_break_nothing(trail: Trail) -> None:
    await trail.record(3)
    first = await trail.rows.first_since(NONE_KEPT)
    assert first
    await trail.calls.append(told(first))
    found = await trail.verified()
    assert (found.first, found.unchained, found.broken) == (3, 0, None)


async def test_rows_older_than_the_chain_go_with_its_first_rows(trail: Trail) -> None:
    await trail.record(1)
    await trail.break_by("UPDATE audit_calls SET sequence = NULL, key_id = NULL, previous = NULL, mac = NULL")
    await trail.record(3)
    await retention(trail).sweep()
    assert await sequences(trail) == [3, 4]


@pytest.mark.parametrize("rows", ["true", "sequence < 3", "sequence = 1", "outcome = 'PRUNED'"])
async def test_a_row_that_is_kept_is_not_deleted(trail: Trail, rows: str) -> None:
    await trail.record(2)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await trail.pool.execute(f"DELETE FROM audit_calls WHERE {rows} OR sequence = 2")
    await retention(trail).sweep()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await trail.pool.execute(f"DELETE FROM audit_calls WHERE {rows} OR sequence = 2")
    assert await sequences(trail) == [2, 3]


async def test_more_than_what_was_told_cannot_go_unseen(trail: Trail) -> None:
    await trail.record(5)
    await retention(trail).sweep()
    await trail.record(2)
    await trail.break_by("DELETE FROM audit_calls WHERE sequence = 5")
    assert await trail.broken() == Break(5, Kind.DELETED)


async def test_a_row_put_where_old_ones_were_is_found(trail: Trail) -> None:
    await trail.record(5)
    await retention(trail).sweep()
    await trail.break_by(
        "INSERT INTO audit_calls (call, actor, method, request, request_id, outcome, sequence) "
        "VALUES (gen_random_uuid(), 'operator/bob', '/a/B', '{}', '', 'BEGUN', 2)"
    )
    assert await trail.broken() == Break(7, Kind.INSERTED)


class Undermined(ChainedCalls):
    """Rows that grow too old when their first page is read."""

    def __init__(self, trail: Trail) -> None:
        super().__init__(trail.pool, keys())
        self._sweeps = [retention(trail).sweep]

    async def page(self, after: tuple[int, int], limit: int) -> Sequence[Row]:
        while self._sweeps:
            await self._sweeps.pop()()
        return await super().page(after, limit)


async def test_a_verification_goes_on_where_rows_have_gone_meanwhile(trail: Trail) -> None:
    await trail.record(5)
    *_, found = [step async for step in Verification(rows=Undermined(trail), keys=keys()).verify()]
    assert isinstance(found, Verified)
    assert (found.first, found.broken) == (5, None)


async def test_a_checkpoint_of_a_row_that_was_let_go_says_nothing(trail: Trail) -> None:
    await trail.record(2)
    kept = await trail.tail()
    await trail.record(3)
    await retention(trail).sweep()
    assert await trail.broken(kept) is None
