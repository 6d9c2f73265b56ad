"""Callers, schedulers and people who cancel meet at the same moment: one run, ended once."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tokhub.sync.v1 import sync_pb2

from libs.clock import SystemClock
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import connect_stores, end_of, items_of, sync_calls, tallied, told, until_true
from tests.faults.sync_processes import SyncReplica
from tests.faults.waiting import until

CALLERS = 50
STORES, ROUNDS = 20, 8
LOOKS_WITHIN = 20.0  # seconds; every replica looks at its schedules every fifteen
TICK = datetime(2026, 3, 3, 2, tzinfo=UTC)
FIRES = "SELECT fire_at, outcome FROM reporting.schedule_fires"


RARE = "0 0 29 2 *"
CRON = {
    "CRON_ENABLED": "1",
    "CRON_SYNC_USER_DAILY": "0 2 * * *",
    "CRON_SYNC_VIDEO_DAILY": RARE,
    "CRON_TOKEN_REFRESH": RARE,
}
SEEN = "SELECT count(*) = 3 FROM reporting.schedules"


class SharedClock:
    """What time replicas believe it is."""

    def __init__(self, file: Path) -> None:
        self.environ = {"CLOCK_OFFSET_FILE": str(file)}
        self._file = file

    def set(self, time: datetime) -> None:
        """Set it; from then on it goes on as clocks do."""
        offset = time - datetime.now(UTC)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(offset.total_seconds()), encoding="ascii")
        fresh.replace(self._file)


@case(
    "C04",
    fault="three schedulers at one tick: one stopped as it is about to start the run, one paused over the tick",
    expected="the third starts it; the others find it done when they go on: one run, one entry",
)
async def one_tick(lab: Lab) -> str:
    await lab.replica()
    clock = SharedClock(lab.directory / "clock")
    clock.set(TICK - timedelta(minutes=10))
    told_to = {**CRON, **clock.environ}
    acting, paused = await asyncio.gather(lab.sync("acting", **told_to), lab.sync("paused", **told_to))
    await connect_stores(lab, acting, "shop-1", "shop-2")
    lab.allowed.bent = {"shop-1", "shop-2"}  # snapshots of a day that TikTok does not show
    await until_true(lab, "schedules that were seen", SEEN)
    stopped = await lab.sync("stopped", fail="before_create=stop", **told_to)
    paused.pause()
    acting.pause()
    clock.set(TICK + timedelta(seconds=1))
    await until_stopped(stopped)
    acting.resume()
    await until_true(lab, "the tick's entry", "SELECT count(*) = 1 FROM reporting.schedule_fires")
    run_id = str((await lab.sql("SELECT id FROM reporting.sync_runs"))[0]["id"])
    run = await end_of(lab, run_id)
    stopped.resume()
    paused.resume()
    await SystemClock().sleep(LOOKS_WITHIN)
    fires = [(row["fire_at"], row["outcome"]) for row in await lab.sql(FIRES)]
    runs = (await lab.sql("SELECT count(*) AS n FROM reporting.sync_runs"))[0]["n"]
    calls = [(await sync_calls(lab, code))["user_info"] for code in ("shop-1", "shop-2")]
    expect((fires, runs, calls) == ([(TICK, "STARTED")], 1, [1, 1]), f"{fires}, {runs} runs, {calls} calls")
    return f"{runs} run, {len(fires)} entry, {told(run)}; the others went on and started nothing"


async def until_stopped(replica: SyncReplica) -> None:
    """Wait until a process has stopped itself."""
    status = Path(f"/proc/{replica.process.pid}/stat")

    async def stands_still() -> bool:
        return (await asyncio.to_thread(status.read_text)).rpartition(")")[2].split()[0] == "T"

    await until("a process that stopped itself", stands_still, within=60)


@case(
    "C05",
    fault=f"{CALLERS} callers on three replicas start the same run at once: with one key, and with keys of their own",
    expected="one run: the same id for the same key, RUN_ALREADY_ACTIVE with that id for all other keys",
)
async def many_starts(lab: Lab) -> str:
    await lab.replica()
    replicas = await asyncio.gather(*(lab.sync(name) for name in ("a", "b", "c")))
    await connect_stores(lab, replicas[0], "shop-1", "shop-2", "shop-3")
    await lab.fault("latency", endpoint="user", seconds=3, count=None)
    same = await started_by_all(replicas, ["one-key"] * CALLERS)
    first = str((await lab.sql("SELECT id FROM reporting.sync_runs"))[0]["id"])
    others = await started_by_all(replicas, [f"key-{number}" for number in range(CALLERS)])
    runs = (await lab.sql("SELECT count(*) AS n FROM reporting.sync_runs"))[0]["n"]
    run = await end_of(lab, first)
    again = await started_by_all(replicas, ["one-key"])
    expect(set(same) == {first}, tallied(same))
    expect(set(others) == {f"RUN_ALREADY_ACTIVE {first}"}, tallied(others))
    expect((runs, again) == (1, [first]), f"{runs} runs, the key again: {again}")
    return f"{len(same)} times the same id, {len(others)} times RUN_ALREADY_ACTIVE with it, {runs} run, {told(run)}"


async def started_by_all(replicas: list[SyncReplica], keys: list[str]) -> list[str]:
    """Start a run with each key at once; return what each caller was told."""
    starts = (replicas[number % len(replicas)].try_to_begin(sync_pb2.JOB_USER, key) for number, key in enumerate(keys))
    return list(await asyncio.gather(*starts))


@case(
    "C14",
    fault=f"{STORES * ROUNDS} runs of one store, each cancelled from another replica around its end",
    expected="each ends once, as cancelled or as done, and its rows and log lines say the same",
)
async def cancelled_at_the_end(lab: Lab) -> str:
    await lab.replica()
    working, cancelling = await asyncio.gather(lab.sync("working"), lab.sync("cancelling"))
    codes = [f"shop-{number:02}" for number in range(STORES)]
    await connect_stores(lab, working, *codes)
    draw = random.Random(14)

    async def rounds(code: str) -> list[str]:
        return [await cancelled(lab, (working, cancelling), code, draw.uniform(0, 0.6)) for _ in range(ROUNDS)]

    found = [state for states in await asyncio.gather(*map(rounds, codes)) for state in states]
    counted = Counter(found)
    expect(set(counted) == {"cancelled", "succeeded"}, tallied(found))
    return tallied(found)


async def cancelled(lab: Lab, replicas: tuple[SyncReplica, SyncReplica], code: str, after: float) -> str:
    """Start a run, cancel it after so many seconds elsewhere; return how it ended, as the answer and the row say."""
    working, cancelling = replicas
    run_id = await working.begin(sync_pb2.JOB_USER, code)
    await SystemClock().sleep(after)
    answer = await cancelling.client.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run_id))
    told_state = sync_pb2.RunState.Name(answer.run.state).removeprefix("RUN_STATE_").lower()
    [item] = await items_of(lab, run_id)
    expected = {"cancelled": ("SKIPPED", "CANCELLED"), "succeeded": ("SUCCESS", "")}
    seen = (item["outcome"], item["reason"])
    expect(seen == expected.get(told_state), f"the run was told as {told_state}, its item is {seen}")
    return told_state
