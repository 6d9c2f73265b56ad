"""Faults of a database that a process meets when it starts: away, full, empty, or of a newer release."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from libs.clock import SystemClock
from libs.database.embedded import EmbeddedPostgres
from libs.settings import EX_CONFIG
from tests.faults.case import case, expect
from tests.faults.cases.starting import refused_start
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.waiting import until

SESSIONS = 20
HELD = 3.0  # seconds


async def waits(replica: Replica) -> list[str]:
    """Return why a start waits, line by line."""
    return [event["why"] for event in replica.events() if event["msg"] == "the start waits for the database"]


async def started_late(lab: Lab, obstacle: AsyncExitStack) -> str:
    """Start a replica that has to wait, take the obstacle away, and return what was seen."""
    replica = lab.prepared("late")
    # It is read before the process can have written anything.
    replica.log.touch()
    starting = asyncio.create_task(replica.start())

    async def is_waiting() -> list[str]:
        expect(not starting.done() or starting.exception() is None, "it ended")
        return await waits(replica)

    await until("a start that waits", is_waiting)
    await SystemClock().sleep(HELD)
    expect(replica.alive and not starting.done(), "it did not wait")
    await obstacle.aclose()
    clock = SystemClock()
    began = clock.monotonic()
    await starting
    took, said, found = clock.monotonic() - began, await waits(replica), await replica.ask("shop-1")
    seen = f"waits: {said}; serving {took:.1f} s after, {found}"
    expect(len(said) == 1 and found.fresh and took < 15, seen)
    return seen


@case(
    "D13",
    fault="a replica is started while the server has no session left (max_connections)",
    expected="it is not ready, tries again at growing intervals, says why once, and serves when sessions are free",
)
async def no_session_left(lab: Lab) -> str:
    async with AsyncExitStack() as sessions:
        await few_sessions(lab)
        first = await lab.replica("first")
        await lab.connect(first, "shop-1")
        held = 0
        try:
            while True:
                session = await asyncpg.connect(lab.dsn)
                sessions.push_async_callback(session.close)
                held += 1
        except asyncpg.TooManyConnectionsError:
            pass
        served = await first.ask("shop-1")
        expect(served.fresh, served)
        return f"{held} of {SESSIONS} held, {served} elsewhere; {await started_late(lab, sessions)}"


async def few_sessions(lab: Lab) -> None:
    """Start the server again with few sessions."""
    await asyncio.to_thread(lab.postgres.stop)
    lab.postgres = EmbeddedPostgres(lab.data.parent, settings={"max_connections": str(SESSIONS)})
    await asyncio.to_thread(lab.postgres.start)
    lab.opened.push_async_callback(asyncio.to_thread, lab.postgres.stop)


@case(
    "D13 away",
    fault="a replica is started while the database is stopped",
    expected="the same",
)
async def database_away(lab: Lab) -> str:
    first = await lab.replica("first")
    await lab.connect(first, "shop-1")
    await first.stop()
    await asyncio.to_thread(lab.postgres.stop)
    async with AsyncExitStack() as away:
        away.push_async_callback(asyncio.to_thread, lab.postgres.start)
        return await started_late(lab, away)


@case(
    "D14 three",
    fault="three replicas start at once on an empty database",
    expected="one migrates, the others wait for it; all serve",
)
async def three_on_an_empty_database(lab: Lab) -> str:
    replicas = await asyncio.gather(*(lab.replica(name) for name in "abc"))
    await lab.connect(replicas[0], "shop-1")
    found = [await replica.ask("shop-1") for replica in replicas]
    versions = [row["version_num"] for row in await lab.sql("SELECT version_num FROM alembic_version")]
    expect(all(one.fresh for one in found) and len(versions) == 1, (found, versions))
    return f"{len(found)} x {found[0]}, schema at {versions[0]}"


@case(
    "D14 newer",
    fault="the schema is of a release that this one does not know",
    expected="status 78 and one line with the command to run; nothing is written; with the known schema it serves",
)
async def schema_of_the_future(lab: Lab) -> str:
    first = await lab.replica("first")
    await lab.connect(first, "shop-1")
    await first.stop()
    known = (await lab.sql("SELECT version_num FROM alembic_version"))[0]["version_num"]
    await lab.sql("UPDATE alembic_version SET version_num = '9999'")
    status, said = await refused_start(lab.prepared("old"))
    held = status == EX_CONFIG and len(said) == 1 and "git pull && make install" in said[0]
    expect(held, (status, said))
    await lab.sql("UPDATE alembic_version SET version_num = $1", known)
    found = await (await lab.replica("again")).ask("shop-1")
    expect(found.fresh, found)
    return f"{status}: {said[0]}; then {found}"
