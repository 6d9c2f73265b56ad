"""Faults that take the database back in time: a standby that lagged, yesterday's copy, with and without journals."""

import asyncio
import shutil
from collections.abc import Sequence

import asyncpg

from services.token.adapters.journal.records import HEADER_BYTES
from tests.faults.case import case, expect
from tests.faults.cases.database_outages import is_unready
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.servers import Standby, copy_data, crash, either, restore_data, standby_of
from tests.faults.waiting import until

STORES = 50
AT_ONCE = 10


async def ask_all(replicas: Sequence[Replica], codes: Sequence[str], *, rejected: int | None = None) -> list[Outcome]:
    """Ask for the tokens of stores, several at once, in turn on each replica."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, code: str) -> Outcome:
        async with slots:
            return await replicas[number % len(replicas)].ask(code, rejected=rejected)

    return list(await asyncio.gather(*(one(*numbered) for numbered in enumerate(codes))))


async def rotate(lab: Lab, replicas: Sequence[Replica], codes: Sequence[str], *, times: int = 1) -> int:
    """Refresh stores again and again until all rows are saved; return how many rotations TikTok counted."""
    first = min(row["generation"] for row in await generations(lab))
    for generation in range(first, first + times):
        outcomes = await ask_all(replicas, codes, rejected=generation)
        expect(all(outcome.fresh for outcome in outcomes), [str(outcome) for outcome in outcomes])

    async def are_saved() -> bool:
        rows = {row["owner_id"]: row["generation"] for row in await generations(lab)}
        return all(rows[code] == first + times for code in codes)

    await until("rotations saved", are_saved)
    return len(codes) * times


async def generations(lab: Lab) -> list[asyncpg.Record]:
    """Return every row's generation."""
    return await lab.sql("SELECT owner_id, generation, status FROM connections")


async def reconnects(lab: Lab) -> list[str]:
    """Return the stores whose people have to consent again."""
    return [str(row["owner_id"]) for row in await generations(lab) if row["status"] != "ACTIVE"]


async def served_again(replicas: Sequence[Replica], codes: Sequence[str]) -> float:
    """Ask all stores until each has a fresh token; return the seconds."""
    missing = list(codes)

    async def are_served() -> bool:
        outcomes = await ask_all(replicas, missing)
        missing[:] = [code for code, outcome in zip(missing, outcomes, strict=True) if not outcome.fresh]
        return not missing

    return await until("a fresh token of each store", are_served, within=60)


async def stores(lab: Lab, replica: Replica, count: int) -> list[str]:
    """Connect so many stores."""
    codes = [f"shop-{number}" for number in range(count)]
    await lab.connect(replica, *codes)
    return codes


async def taken_over(lab: Lab) -> Standby:
    """Let the case have a standby, and its token services both addresses."""
    standby = await lab.opened.enter_async_context(standby_of(lab))
    lab.dsn = either(lab, [str(lab.postgres.port), standby.port])
    return standby


@case(
    "D03",
    fault="failover to a synchronous standby while tokens rotate",
    expected="a moment of 503 (10 s here); no acknowledged rotation is lost",
)
async def synchronous_failover(lab: Lab) -> str:
    standby = await taken_over(lab)
    await lab.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await lab.sql("SELECT pg_reload_conf()")
    replica = await lab.replica(JOURNAL_MODE="off")
    codes = await stores(lab, replica, 20)
    rotations = await rotate(lab, [replica], codes, times=2)
    await crash(lab.postgres)
    await standby.promote()
    took = await served_again([replica], codes)
    rows = [row["generation"] for row in await generations(lab)]
    behind = sum(generation != 3 for generation in rows)
    further = await rotate(lab, [replica], codes)
    seen = f"{rotations} rotations, {behind} lost without any journal, served after {took:.1f} s, then {further} more"
    expect((behind, len(rows)) == (0, 20) and took < 10, seen)
    return seen


@case(
    "D04 failover",
    fault=f"Failover drill: to a standby that lacks {2 * STORES} rotations of {STORES} stores, services running",
    expected="journals heal the rows before any dead token is presented; 0 stores need reconnect",
)
async def failover_drill(lab: Lab) -> str:
    standby = await taken_over(lab)
    replicas = list(await asyncio.gather(lab.replica("a"), lab.replica("b")))
    codes = await stores(lab, replicas[0], STORES)
    # What comes back are rows that are due at once: whoever is served first would spend a dead token.
    await lab.expire()
    await standby.stop()
    rotations = await rotate(lab, replicas, codes, times=2)
    await crash(lab.postgres)
    await standby.start()
    await standby.promote()
    took = await served_again(replicas, codes)
    again = await reconnects(lab)
    seen = f"{rotations} rotations since, {STORES} stores served after {took:.1f} s, {len(again)} need reconnect"
    expect(not again, seen)
    return seen


@case(
    "D04 restore",
    fault=f"Restore drill: yesterday's copy of the database, {3 * STORES} rotations of {STORES} stores since",
    expected="journals heal the rows before readiness, two replicas at once; 0 stores need reconnect",
)
async def restore_drill(lab: Lab) -> str:
    before = await lab.replica("before")
    codes = await stores(lab, before, STORES)
    await lab.expire()
    await copy_data(lab)
    await until("ready again", before.serving)
    rotations = await rotate(lab, [before], codes, times=3)
    await before.kill()
    await restore_data(lab)
    after = [lab.prepared("c"), lab.prepared("d")]
    took = max(await asyncio.gather(*(start_and_ask(replica, codes) for replica in after)))
    again = await reconnects(lab)
    seen = (
        f"{rotations} rotations since the copy, {STORES} stores served after {took:.1f} s, {len(again)} need reconnect"
    )
    expect(not again, seen)
    return seen


async def start_and_ask(replica: Replica, codes: Sequence[str]) -> float:
    """Start a replica and ask it for everything at once; return the seconds until all was served."""
    await replica.start()
    return await served_again([replica], codes)


@case(
    "D04 second",
    fault="the same, and the first of two replicas that start is held before it has replayed anything",
    expected="the second does not serve before the first is done; no dead token is presented",
)
async def started_during_a_replay(lab: Lab) -> str:
    before = await lab.replica("before")
    codes = await stores(lab, before, 5)
    await lab.expire()
    await copy_data(lab)
    await until("ready again", before.serving)
    await rotate(lab, [before], codes)
    await before.kill()
    await restore_data(lab)
    first, second = lab.prepared("first", fail="in_replay=hold"), lab.prepared("second")
    starting = asyncio.create_task(first.start())
    await first.reached("in_replay")
    following = asyncio.create_task(start_and_ask(second, codes))
    await until("the second waits or serves", lambda: has_said(second, "another process takes over", "serving"))
    waited = not has_told(second, "serving")
    first.let_go("in_replay")
    await asyncio.gather(starting, following)
    again = await reconnects(lab)
    seen = f"the second {'waited' if waited else 'served at once'}; {len(again)} of {len(codes)} need reconnect"
    expect(waited and not again, seen)
    return seen


async def has_said(replica: Replica, *starts: str) -> bool:
    """Return whether a replica has logged a line that begins with one of these."""
    return any(has_told(replica, start) for start in starts)


def has_told(replica: Replica, start: str) -> bool:
    """Return whether a replica has logged a line that begins so."""
    return replica.log.exists() and any(event["msg"].startswith(start) for event in replica.events())


@case(
    "D04 orphan",
    fault="failover to a standby that lags; the replica that made half of the rotations has died before",
    expected="the one that lives heals the rows from the dead one's journal too; 0 stores need reconnect",
)
async def failover_after_a_death(lab: Lab) -> str:
    standby = await taken_over(lab)
    replicas = list(await asyncio.gather(lab.replica("lives"), lab.replica("dies")))
    codes = await stores(lab, replicas[0], 20)
    await lab.expire()
    await standby.stop()
    rotations = await rotate(lab, replicas, codes)
    await replicas[1].kill()
    await crash(lab.postgres)
    await standby.start()
    await standby.promote()
    took = await served_again(replicas[:1], codes)
    again = await reconnects(lab)
    seen = f"{rotations} rotations since, 20 stores served after {took:.1f} s, {len(again)} need reconnect"
    expect(not again, seen)
    return seen


@case(
    "D04 running",
    fault="the same while the services run",
    expected="the same: what a process has journaled is held against the rows before it refreshes again",
)
async def restored_under_running_services(lab: Lab) -> str:
    replicas = list(await asyncio.gather(lab.replica("a"), lab.replica("b")))
    codes = await stores(lab, replicas[0], STORES)
    await lab.expire()
    await copy_data(lab)
    await asyncio.gather(*(until("ready again", replica.serving) for replica in replicas))
    rotations = await rotate(lab, replicas, codes, times=2)
    await restore_data(lab)
    took = await served_again(replicas, codes)
    again = await reconnects(lab)
    seen = (
        f"{rotations} rotations since the copy, {STORES} stores served after {took:.1f} s, {len(again)} need reconnect"
    )
    expect(not again, seen)
    return seen


@case(
    "D04 damaged",
    fault="a running replica's journal is damaged on the disk, and its connection to the database is lost",
    expected="not ready and told by name; valid tokens served, nothing refreshed blindly; well again once mended",
)
async def journal_damaged_while_running(lab: Lab) -> str:
    replica = await lab.replica()
    codes = await stores(lab, replica, 2)
    await rotate(lab, [replica], codes)
    (journal,) = lab.journal.glob("*.journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:HEADER_BYTES] + bytes([whole[HEADER_BYTES] ^ 1]) + whole[HEADER_BYTES + 1 :])
    await lab.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tokhub-listen'")
    await until("the journal told", lambda: has_said(replica, "the journal does not open"))
    await until("not ready", lambda: is_unready(replica))
    valid, refused = await replica.ask(codes[0]), await replica.ask(codes[1], rejected=2)
    journal.write_bytes(whole)
    took = await until("ready again", replica.serving, within=60)
    again = await replica.ask(codes[1], rejected=2)
    seen = f"valid {valid}, refresh {refused}; ready {took:.0f} s after it was mended, then {again}"
    expect((str(valid), refused.reason, str(again)) == ("FRESH 2", "STORAGE_UNAVAILABLE", "FRESH 3"), seen)
    return seen


@case(
    "D04 bare",
    fault="yesterday's copy and no journal: 8 of 20 stores have rotated since",
    expected="those 8 need reconnect by name, after one presentation each however often they are asked for; 12 go on",
)
async def restored_without_journal(lab: Lab) -> str:
    before = await lab.replica("before")
    codes = await stores(lab, before, 20)
    await copy_data(lab)
    await until("ready again", before.serving)
    moved = codes[:8]
    await rotate_only(before, moved)
    await before.stop()
    await restore_data(lab)
    await asyncio.to_thread(shutil.rmtree, lab.journal)
    lab.allowed.ended.update(moved)
    lab.allowed.repeats = len(moved)
    after = await lab.replica("after")
    await lab.expire()
    rounds = [await ask_all([after], codes) for _ in range(3)]
    named = {str(outcome) for asked in rounds for outcome in asked[:8]}
    others = {str(outcome) for asked in rounds for outcome in asked[8:]}
    listed = sorted(await reconnects(lab))
    seen = f"{len(listed)} named {named}, the others {others}"
    expect((listed, named, others) == (sorted(moved), {"REAUTH_REQUIRED refused"}, {"FRESH 2"}), seen)
    return seen


async def rotate_only(replica: Replica, codes: Sequence[str]) -> None:
    """Refresh some stores once."""
    outcomes = await ask_all([replica], codes, rejected=1)
    expect(all(outcome.fresh for outcome in outcomes), [str(outcome) for outcome in outcomes])
