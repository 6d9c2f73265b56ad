"""Faults of a database that is there and refuses: full disks, no sessions left, single rows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from tokhub.token.v1 import token_pb2

from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.cases.database_outages import is_told, saved, usable
from tests.faults.disks import UNLIMITED, fill, fill_file, free, limit_files, small_disk
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference, start_of
from tests.faults.waiting import until

REFUSED = "STORAGE_UNAVAILABLE"
MOST_ON_A_PAGE = 300


async def reason_of(call: Awaitable[object]) -> str:
    """Return the reason why a call is refused; empty when it is not."""
    try:
        await call
    except TokhubError as error:
        return str(error.reason)
    return ""


async def while_full(lab: Lab, replica: Replica, cold: Replica) -> str:
    """Ask for all that can be asked for while the disk is full; return what was seen."""
    before = await lab.calls()
    await lab.expire("expired")
    await lab.leave("10 min", "due")
    served = [await replica.ask("valid"), await cold.ask("valid"), await cold.ask("due")]
    refused = [await replica.ask("expired"), await cold.ask("expired"), await replica.ask("valid", rejected=1)]
    leaving = token_pb2.DisconnectRequest(connection=reference("leaving"))
    ended = await reason_of(replica.connections.Disconnect(leaving))
    calls = await lab.calls() - before
    seen = (
        f"valid {served[0]} and {served[1]}, due {served[2]}, expired {refused[0]}, disconnect {ended}, {calls} calls"
    )
    expect({str(one) for one in served} == {"FRESH 1"} and calls == 0, seen)
    expect({outcome.reason for outcome in refused} | {ended} == {REFUSED}, seen)
    return seen


async def recovered(lab: Lab, replica: Replica) -> str:
    """Wait until everybody is served again; return what was seen."""
    took = await usable(replica, "expired")
    late = await saved(lab, "held", 2)
    refreshes = {code: await lab.refreshes(code) for code in ("expired", "held")}
    statuses = {await lab.status(code) for code in lab.accounts if code != "leaving"}
    gone = await disconnected(lab, "leaving")
    seen = f"served {took:.1f} s, the held token saved {late:.1f} s and the disconnect carried out {gone:.1f} s after"
    seen += f", refreshes {refreshes}, {statuses}"
    expect(set(refreshes.values()) == {1} and statuses == {"ACTIVE"}, seen)
    return seen


async def disconnected(lab: Lab, code: str) -> float:
    """Wait until a disconnect that was refused and put on record is carried out; return the seconds it took."""

    async def is_disconnected() -> bool:
        return await lab.status(code) == "DISCONNECTED"

    return await until(f"{code} disconnected", is_disconnected, within=90)


async def crowd(lab: Lab) -> tuple[Replica, Replica]:
    """Start two replicas, and let one of them hold a new token that is not saved yet."""
    replica, cold = await asyncio.gather(
        lab.replica("a", fail="before_commit=hold"), lab.replica("cold", REFRESH_AHEAD_CONCURRENCY="4")
    )
    lab.allowed.ended.add("leaving")
    await lab.connect(replica, "valid", "due", "expired", "held", "leaving")
    await replica.ask("valid")
    await lab.expire("held")
    asked = await replica.ask("held")
    await replica.reached("before_commit")
    expect(str(asked) == "FRESH 2", asked)
    return replica, cold


@case(
    "D07 53100",
    fault="the disk of the database's tables is full, also for a token that TikTok has just given",
    expected="valid tokens served, writes 503, nothing sent to TikTok, a start comes through; freed, all goes on, and "
    "a disconnect that was refused is carried out",
)
async def disk_full(lab: Lab) -> str:
    replica, cold = await crowd(lab)
    await lab.opened.enter_async_context(small_disk(lab))
    state = await fill(lab)
    replica.let_go("before_commit")
    await until_waiting(replica)
    seen = await while_full(lab, replica, cold)
    # The last page of a table takes some rows after the disk is full.
    for _ in range(MOST_ON_A_PAGE):
        if link := await reason_of(replica.connections.StartAuthorization(start_of("newcomer"))):
            break
    expect((state, link) == ("53100", REFUSED), f"{state}, a new link {link}")
    late = lab.prepared("late")
    late.log.touch()
    starting = asyncio.create_task(late.start())
    await until("a first word of the late one", lambda: has_spoken(late))
    word = late.events()[-1]["msg"]
    await free(lab)
    seen += f", a new link {link}; freed: {await recovered(lab, replica)}"
    await starting
    found = await late.ask("valid")
    expect(found.fresh, found)
    return f"{state}: {seen}; a replica started meanwhile: {word}, {found}"


async def has_spoken(replica: Replica) -> bool:
    """Return whether a replica has logged anything."""
    return bool(replica.events())


@case(
    "D07 XX000",
    fault="a file of the database may not become larger (ulimit -f)",
    expected="the same, though PostgreSQL calls it an internal error",
)
async def file_too_large(lab: Lab) -> str:
    replica, cold = await crowd(lab)
    state = await fill_file(lab)
    replica.let_go("before_commit")
    await until_waiting(replica)
    seen = await while_full(lab, replica, cold)
    limit_files(lab, UNLIMITED)
    expect(state == "XX000", state)
    return f"{state}: {seen}; freed: {await recovered(lab, replica)}"


async def until_waiting(replica: Replica) -> None:
    """Wait until a save was refused."""
    await until("a save refused", lambda: is_told(replica, "new tokens wait for the database"))


@asynccontextmanager
async def refusing(lab: Lab, moment: str, condition: str) -> AsyncIterator[None]:
    """Let a trigger raise at one kind of write while the context is open, on rows of which the condition holds."""
    name = "boulder"
    await lab.script(f"""
        CREATE FUNCTION credentials.{name}() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER {name} BEFORE {moment} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION credentials.{name}();
    """)
    try:
        yield
    finally:
        await lab.script(f"DROP FUNCTION credentials.{name} CASCADE")


async def refused_alone(lab: Lab, replica: Replica, moment: str, condition: str) -> str:
    """Let a write of one store fail; return what it and another store got, TikTok not having been called for it."""
    await lab.expire()
    before, spent = await lab.refreshes("marked"), await lab.refreshes("other")
    async with refusing(lab, moment, condition):
        marked, other = await asyncio.gather(replica.ask("marked"), replica.ask("other"))
    calls, others = await lab.refreshes("marked") - before, await lab.refreshes("other") - spent
    after = await replica.ask("marked")
    seen = f"{marked}, {calls} calls; other {other}; then {after}"
    expect((marked.reason, calls, others) == (REFUSED, 0, 1) and other.fresh and after.fresh, seen)
    return seen


@case(
    "D15 claim",
    fault="the rows of one store refuse a claim, then the event of one, by a trigger (P0001)",
    expected="that store is refused with 503 and nothing is sent; others are served; freed, it is too",
)
async def claim_refused(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "marked", "other")
    identity = (await lab.row("marked"))["id"]
    lease = await refused_alone(
        lab, replica, "UPDATE OF lease_owner ON credentials.connections", "NEW.owner_id = 'marked'"
    )
    event = await refused_alone(
        lab, replica, "INSERT ON credentials.connection_events", f"NEW.connection_id = '{identity}'"
    )
    return f"claim: {lease}; event: {event}"


@case(
    "D15 save",
    fault="the row of one store refuses its new token, by a trigger (P0001)",
    expected="its caller has the token from the journal, others are served; the save arrives when the trigger is gone",
)
async def save_refused(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "marked", "other")
    await lab.expire()
    async with refusing(lab, "UPDATE OF generation ON credentials.connections", "NEW.owner_id = 'marked'"):
        asked = [await replica.ask("marked"), await replica.ask("other")]
        await until_waiting(replica)
        asked.append(await replica.ask("marked"))
    took, refreshes = await saved(lab, "marked", 2), await lab.refreshes("marked")
    seen = f"{[str(one) for one in asked]}, saved {took:.1f} s after, {refreshes} refresh"
    expect({str(one) for one in asked} == {"FRESH 2"} and refreshes == 1, seen)
    return seen


@case(
    "D15 event",
    fault="the event of a disconnect, then that of a connect, is refused by a trigger (P0001)",
    expected="no record, no change: the disconnect gets 503 and follows later, the consent waits and is kept",
)
async def event_refused(lab: Lab) -> str:
    replica = await lab.replica()
    lab.allowed.ended.add("marked")
    await lab.connect(replica, "marked")
    request = token_pb2.DisconnectRequest(connection=reference("marked"))
    events = "INSERT ON credentials.connection_events"
    async with refusing(lab, events, "NEW.kind = 'DISCONNECTED'"):
        ended = await reason_of(replica.connections.Disconnect(request))
        status = await lab.status("marked")
    gone = await disconnected(lab, "marked")
    async with refusing(lab, events, "NEW.kind = 'CONNECTED'"):
        connecting = asyncio.create_task(lab.connect(replica, "newcomer"))
        done, _ = await asyncio.wait({connecting}, timeout=2)
    await connecting
    seen = f"disconnect {ended}, {status}, carried out {gone:.1f} s after; the consent waited, then "
    seen += await lab.status("newcomer")
    expect((ended, status, bool(done)) == (REFUSED, "ACTIVE", False), seen)
    return seen
