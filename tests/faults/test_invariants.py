"""The invariants see what they are for: each is shown a world in which it does not hold."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.history import Outcome
from tests.faults.invariants import CHECKS
from tests.faults.lab import Lab, laboratory
from tests.faults.processes import Replica


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A world in which two stores are connected."""
    async with laboratory(tmp_path / "case") as one:
        await one.connect(await one.replica(), "shop-1", "shop-2")
        yield one


async def spend_elsewhere(lab: Lab, code: str) -> None:
    """Rotate a store's token behind our back."""
    token = (await lab.ledger(code))["grants"][0]["live_refresh_token"]
    form = {"client_key": lab.sandbox.client_key, "client_secret": lab.sandbox.client_secret}
    form |= {"grant_type": "refresh_token", "refresh_token": token}
    for _ in range(2):
        await asyncio.to_thread(lambda: lab.sandbox.control.post("/v2/oauth/token/", data=form))


async def swap(lab: Lab) -> None:
    await lab.sql(
        "UPDATE connections SET refresh_token = (SELECT refresh_token FROM connections WHERE owner_id = 'shop-2') "
        "WHERE owner_id = 'shop-1'"
    )


async def write_a_token_into_the_log(lab: Lab) -> None:
    token = (await lab.ledger("shop-1"))["grants"][0]["live_refresh_token"]
    with lab.replicas[0].log.open("a") as log:
        log.write(f"{token.encode().hex()}\n")


async def test_a_world_without_faults_has_no_violations(lab: Lab) -> None:
    assert [found for check in CHECKS.values() for found in await check(lab)] == []


async def test_each_invariant_sees_what_it_is_for(lab: Lab) -> None:
    await spend_elsewhere(lab, "shop-1")
    assert await CHECKS["I1"](lab) == ["shop-1: the token TikTok gave last is nowhere"]
    assert await CHECKS["I2"](lab) == ["1 dead tokens were presented once, 0 admitted"]
    await write_a_token_into_the_log(lab)
    assert await CHECKS["I5"](lab) == ["a.log"]
    await swap(lab)
    assert (await CHECKS["I7"](lab))[0].startswith("shop-1: ")
    lab.history.note("a", "GetValidToken shop-1", Outcome(reason="INTERNAL"))
    assert await CHECKS["I10"](lab) == ["a caller saw INTERNAL"]


async def test_a_replica_that_stands_still_is_not_ready(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.invariants.READY_WITHIN", 2.0)
    replica: Replica = lab.replicas[0]
    replica.pause()
    assert await CHECKS["I8"](lab) == ["a is not ready"]
