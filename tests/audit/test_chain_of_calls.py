"""Whoever has all rights on the database and not the key cannot change the trail without being found out."""

import asyncio
from dataclasses import replace

import pytest

from libs.audit import verification
from libs.audit.chain import Checkpoint
from libs.audit.verification import Break, Kind, Progress
from libs.database.call_log import CallLog
from tests.audit.conftest import NEW, OLD, Trail, keys, record

SHIFTED = "UPDATE audit_calls SET sequence = sequence + 1000 WHERE sequence {}"
MOVED = "UPDATE audit_calls SET sequence = sequence - {} WHERE sequence > 1000"
MOVED_ONE = "UPDATE audit_calls SET sequence = sequence - 1 WHERE sequence = 4"
COPIED = """
    INSERT INTO audit_calls (call, actor, method, request, request_id, outcome, sequence, key_id, previous, mac)
    SELECT gen_random_uuid(), 'operator/mallory', method, request, request_id, outcome, {}, key_id, previous, mac
    FROM audit_calls WHERE sequence = {}
"""
TOLD = "UPDATE audit_calls SET outcome = 'PRUNED', request = '{}' WHERE sequence = 7"
FORGERIES = {
    "an edited actor": (["UPDATE audit_calls SET actor = 'operator/bob' WHERE sequence = 3"], Break(3, Kind.EDITED)),
    "an edited time": (["UPDATE audit_calls SET at = at + interval '1 us' WHERE sequence = 3"], Break(3, Kind.EDITED)),
    "an edited request": (["UPDATE audit_calls SET request = '{}' WHERE sequence = 1"], Break(1, Kind.EDITED)),
    "an edited mac": (["UPDATE audit_calls SET mac = sha256(mac) WHERE sequence = 4"], Break(4, Kind.EDITED)),
    "a row without its seal": (["UPDATE audit_calls SET mac = NULL WHERE sequence = 4"], Break(4, Kind.EDITED)),
    "a row before all": ([COPIED.format(-5, 2)], Break(7, Kind.INSERTED)),
    "a row that says where to begin": (
        [COPIED.format(7, 6), TOLD.format('{"keptFrom": 4, "previous": "00"}')],
        Break(7, Kind.INSERTED),
    ),
    "a row that tells nonsense": (
        [COPIED.format(7, 6), TOLD.format('{"keptFrom": 1e30, "previous": "x"}')],
        Break(7, Kind.INSERTED),
    ),
    "a deleted row": (["DELETE FROM audit_calls WHERE sequence = 3"], Break(3, Kind.DELETED)),
    "deleted first rows": (["DELETE FROM audit_calls WHERE sequence < 3"], Break(1, Kind.DELETED)),
    "a deleted row, closed up": (
        ["DELETE FROM audit_calls WHERE sequence = 3", SHIFTED.format("> 3"), MOVED.format(1001)],
        Break(3, Kind.DELETED),
    ),
    "an inserted row": (
        [SHIFTED.format(">= 3"), MOVED.format(999), COPIED.format(3, 2)],
        Break(3, Kind.INSERTED),
    ),
    "a row appended": ([COPIED.format(7, 6)], Break(7, Kind.INSERTED)),
    "a row outside the chain": ([COPIED.format("NULL", 2)], Break(7, Kind.INSERTED)),
    "a row of the same place": (
        ["ALTER TABLE audit_calls DROP CONSTRAINT audit_calls_sequence_key", COPIED.format(4, 4)],
        Break(4, Kind.INSERTED),
    ),
    "two rows that changed places": (
        [SHIFTED.format("= 3"), MOVED_ONE, MOVED.format(999)],
        Break(3, Kind.REORDERED),
    ),
}


async def test_rows_of_several_replicas_are_one_chain(trail: Trail) -> None:
    replicas = [CallLog(trail.pool, keys()) for _ in range(3)]
    await asyncio.gather(*(replica.append(record()) for _ in range(10) for replica in replicas))
    found = await trail.verified()
    assert (found.rows, found.first, found.broken) == (30, 1, None)
    assert found.checkpoint == await trail.tail()


async def test_an_empty_trail_is_whole(trail: Trail) -> None:
    found = await trail.verified()
    assert (found.rows, found.checkpoint, found.broken) == (0, None, None)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_is_named_by_its_place_and_kind(trail: Trail, forgery: str) -> None:
    await trail.record(6)
    assert await trail.broken() is None
    statements, expected = FORGERIES[forgery]
    await trail.break_by(*statements)
    found = await trail.verified()
    assert found.broken == expected
    assert found.checkpoint is None


async def test_a_tail_that_was_cut_is_told_by_a_checkpoint(trail: Trail) -> None:
    await trail.record(6)
    kept = await trail.tail()
    await trail.break_by("DELETE FROM audit_calls WHERE sequence > 4")
    assert await trail.broken() is None
    assert await trail.broken(kept) == Break(5, Kind.TRUNCATED)
    await trail.record(4)
    assert await trail.broken() is None
    assert await trail.broken(kept) == Break(6, Kind.TRUNCATED)


async def test_an_emptied_trail_is_told_by_a_checkpoint(trail: Trail) -> None:
    await trail.record(2)
    kept = await trail.tail()
    await trail.break_by("TRUNCATE audit_calls")
    assert await trail.broken(kept) == Break(1, Kind.TRUNCATED)


async def test_an_edited_last_row_is_told_from_a_forged_one_by_a_checkpoint(trail: Trail) -> None:
    await trail.record(3)
    kept = await trail.tail()
    await trail.break_by("UPDATE audit_calls SET actor = 'operator/bob' WHERE sequence = 3")
    assert await trail.broken(kept) == Break(3, Kind.EDITED)


async def test_a_checkpoint_of_a_row_that_stands_changes_nothing(trail: Trail) -> None:
    await trail.record(1)
    kept = await trail.tail()
    await trail.record(3)
    assert await trail.broken(kept, await trail.tail()) is None


async def test_only_who_has_the_key_can_go_on_with_the_chain(trail: Trail) -> None:
    await trail.record(2)
    await trail.record(2, CallLog(trail.pool, keys(a1=NEW)))
    assert await trail.broken() == Break(3, Kind.EDITED)


async def test_a_chain_goes_on_under_a_new_key(trail: Trail) -> None:
    await trail.record(2)
    await trail.record(2, CallLog(trail.pool, keys(a2=NEW, a1=OLD)))
    assert (await trail.verified(by=keys(a2=NEW, a1=OLD))).broken is None
    assert (await trail.verified(by=keys(a2=NEW))).broken == Break(1, Kind.UNKNOWN_KEY)
    assert (await trail.verified(by=keys(a1=OLD))).broken == Break(3, Kind.UNKNOWN_KEY)


async def test_rows_that_are_older_than_the_chain_are_counted(trail: Trail) -> None:
    await trail.record(1)
    await trail.break_by("UPDATE audit_calls SET sequence = NULL, key_id = NULL, previous = NULL, mac = NULL")
    await trail.record(2)
    found = await trail.verified()
    assert (found.rows, found.unchained, found.broken) == (2, 1, None)


async def test_a_long_trail_tells_how_far_it_is(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE", 3)
    await trail.record(4)
    steps = [step async for step in verification.Verification(rows=trail.rows, keys=keys()).verify()]
    assert steps[:-1] == [Progress(rows=3, total=4), Progress(rows=4, total=4)]


def test_a_checkpoint_is_read_as_it_is_written() -> None:
    one = Checkpoint(12, bytes(range(32)))
    assert Checkpoint.parse(str(one)) == one
    for wrong in ("", "12", f"{one}0", f"-{one}", f"{one}\n", str(one).upper().replace("0", "G")):
        with pytest.raises(ValueError, match="a checkpoint is"):
            Checkpoint.parse(wrong)


async def test_a_request_with_a_nul_in_it_is_recorded_too(trail: Trail) -> None:
    entries = {"entries": [{"name": "Shop\x00"}]}
    await trail.calls.append(replace(record(), request=entries))

    (kept,) = await trail.calls.newest(before=None, actor="", limit=1)
    assert kept.request == {"entries": [{"name": "Shop\ufffd"}]}
    assert await trail.broken() is None
