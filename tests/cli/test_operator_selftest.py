import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from cli.selftest.sandbox import NoSandbox, open_sandbox
from tests.cli.operator_seat import OperatorSeat

CHECKS = ["expired", "rejected", "disconnect", "lost answer"]


def standings(seat: OperatorSeat) -> dict[str, str]:
    """How each connection stands, by its owner."""
    return {one["owner"]["id"]: one["status"] for one in seat.json("connections", "list")}


def test_a_good_deployment_passes_and_is_left_as_it_was(seat: OperatorSeat) -> None:
    before = standings(seat)
    found = seat.json("selftest", "--callers", "20")
    assert [(one["what"], one["level"]) for one in found] == [(what, "good") for what in CHECKS], found
    after = standings(seat)
    made = {owner for owner in after if owner not in before}
    assert len(made) == len(CHECKS)
    assert all(owner.startswith("selftest_") for owner in made)
    assert {after[owner] for owner in made} == {"CONNECTION_STATUS_DISCONNECTED"}
    assert {owner: after[owner] for owner in before} == before


def test_a_crash_is_waited_for_and_costs_no_connection(seat: OperatorSeat) -> None:
    process = subprocess.Popen(
        seat.command("selftest", "--callers", "2", "--kill", "--json"),
        cwd=seat.home.path,
        env=seat.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stderr.readline().startswith("Tokens rotate now.")
    victim = seat.home.pid("token")
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while seat.run("doctor").returncode or seat.home.pid("token") == victim:
        assert time.monotonic() < deadline
    said, _ = process.communicate("\n", timeout=100)
    found = json.loads(said)[-1]
    assert (process.returncode, found["what"], found["level"]) == (0, "crash", "good"), said


@pytest.fixture
async def something_else() -> AsyncIterator[str]:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v2/auth/authorize/"
    await runner.cleanup()


async def test_nothing_but_a_sandbox_on_this_machine_is_played_with(something_else: str) -> None:
    for address in ("https://www.tiktok.com/v2/auth/authorize/", something_else, "http://127.0.0.1:1/authorize"):
        with pytest.raises(NoSandbox):
            async with asyncio.timeout(10), open_sandbox(address):
                pass
