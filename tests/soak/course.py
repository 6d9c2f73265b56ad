"""The course of a soak: load, and every ten minutes a rest in which all that must hold is looked at."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import circumstances
from tests.faults.invariants import violations
from tests.faults.lab import laboratory
from tests.soak.load import Load, Tally
from tests.soak.meters import Meters, Use
from tests.soak.nemesis import Nemesis
from tests.soak.owners import Owners
from tests.soak.world import SANDBOX, World, build

CHECK_EVERY = 600.0  # seconds of load
# Refreshes ahead of need go on while it is looked: what is wrong in every look is wrong, and not on its way.
LOOKS = 4
BETWEEN_LOOKS = 3.0  # seconds
# What a warm-up takes: a fifth of the time, and a quarter of an hour at most.
WARM_SHARE, WARM_MOST = 0.2, 900.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how much; nemesis is the seed of what it does, None for a calm soak."""

    seconds: float
    stores: int
    rate: float
    nemesis: int | None

    @property
    def warm_up(self) -> float:
        """The seconds after which a process counts as warm."""
        return min(WARM_MOST, self.seconds * WARM_SHARE)


@dataclass(kw_only=True)
class Findings:
    """What came of it."""

    plan: Plan
    on: Mapping[str, Any]
    tally: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)
    harm: Counter[str] = field(default_factory=Counter)
    uses: Sequence[Use] = ()
    rotations: int = 0
    again: Mapping[str, int] = field(default_factory=dict)
    named: Sequence[str] = ()
    checks: int = 0


async def run(plan: Plan, directory: Path, say: Say) -> Findings:
    """Soak the suite and return what was found."""
    findings = Findings(plan=plan, on=circumstances())
    async with laboratory(directory, **SANDBOX) as lab:
        world = await build(lab, plan.stores)
        say(f"{plan.stores} stores are connected; {plan.seconds / 60:g} minutes of load begin")
        if plan.nemesis is not None:
            admit_harm(world)
        meters = Meters(world.processes)
        owners = Owners(world)
        beside = [asyncio.create_task(task) for task in (meters.read_on(), owners.look_on())]
        try:
            await soak(world, findings, say)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        findings.uses, findings.named = list(meters.uses(plan.warm_up)), owners.named
        await count(world, findings)
    return findings


async def soak(world: World, findings: Findings, say: Say) -> None:
    """Press and look in turns."""
    plan = findings.plan
    load = Load(world, plan.rate, plan.nemesis or 0)
    findings.tally = load.tally
    nemesis = Nemesis(world, plan.nemesis or 0)
    left = plan.seconds
    while left > 0:
        seconds = min(left, CHECK_EVERY)
        harm = [nemesis.do_harm(time.monotonic() + seconds)] if plan.nemesis is not None else []
        await asyncio.gather(load.press(seconds), *harm)
        left -= seconds
        found = await lasting(world)
        findings.wrong += [one for one in found if one not in findings.wrong]
        findings.checks += 1
        findings.harm = Counter(nemesis.done)
        asked = sum(findings.tally.outcomes["token"].values())
        say(f"{left / 60:g} minutes left: {asked} tokens asked for, {len(nemesis.done)} harms, {len(found)} wrong")


def admit_harm(world: World) -> None:
    """Admit what a machine that is killed may lose, if it is named, and one repeat for each answer that was lost."""
    allowed = world.lab.allowed
    allowed.lost |= set(world.stores)
    allowed.repeats = allowed.findings = len(world.stores) * 1_000


async def lasting(world: World) -> list[str]:
    """Return what is wrong in every one of several looks."""
    found = await violations(world.lab)
    for _ in range(LOOKS - 1):
        if not found:
            break
        await asyncio.sleep(BETWEEN_LOOKS)
        again = set(await violations(world.lab))
        found = [one for one in found if one in again]
    return found


async def count(world: World, findings: Findings) -> None:
    """Count rotations and repeats by TikTok's own ledger."""
    ledger = (await asyncio.to_thread(world.lab.sandbox.control.get, "/sandbox/ledger")).json()
    findings.rotations = int(ledger["refreshes"])
    dead = ledger["dead_tokens"]
    findings.again = dict(dead.get("refresh", dead))
