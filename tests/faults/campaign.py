"""Runs cases, each in a world of its own, checks the invariants after each, and says what came of them."""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.case import Case, Missed
from tests.faults.invariants import violations
from tests.faults.lab import laboratory

Told = Callable[["Result"], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A case, what was seen, what was wrong, and how many seconds it took."""

    case: Case
    seen: str
    wrong: Sequence[str]
    took: float

    @property
    def verdict(self) -> str:
        """Return one word."""
        return "miss" if self.wrong else "ok"


async def run(cases: Iterable[Case], directory: Path, *, at_once: int, tell: Told) -> list[Result]:
    """Return the results in the order of the cases; tell hears of each when it ends."""
    slots = asyncio.Semaphore(at_once)

    async def one(case: Case) -> Result:
        async with slots:
            result = await judge(case, directory / case.id.replace(" ", "-"))
        tell(result)
        return result

    return list(await asyncio.gather(*(one(case) for case in cases)))


async def judge(case: Case, directory: Path) -> Result:
    """Run one case and check the invariants."""
    began = time.monotonic()
    seen, wrong = "", []
    try:
        async with asyncio.timeout(case.within), laboratory(directory, **case.sandbox) as lab:
            seen = await case.body(lab)
            wrong = await violations(lab)
    except Missed as missed:
        seen, wrong = str(missed), ["not as expected"]
    except Exception as error:  # noqa: BLE001 - whatever breaks a case is a miss
        (directory / "broke.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        seen, wrong = f"{type(error).__name__}: {error}", [f"broke off: {directory}/broke.txt"]
    return Result(case=case, seen=seen, wrong=wrong, took=time.monotonic() - began)
