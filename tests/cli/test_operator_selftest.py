import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from cli.selftest.ground import Ground, Subject
from cli.selftest.sandbox import Counted, NoSandbox, Sandbox, open_sandbox
from cli.services import open_services
from cli.settings import ClientSettings
from tests.cli.operator_seat import OperatorSeat

CHECKS = ["expired", "rejected", "disconnect", "lost answer"]


def standings(seat: OperatorSeat) -> dict[str, str]:
    """How each connection stands, by its owner."""
    return {one["owner"]["id"]: one["status"] for one in seat.json("connections", "list")}


def test_a_good_deployment_passes_and_is_left_as_it_was(seat: OperatorSeat) -> None:
    before = standings(seat)
    ended = seat.run("selftest", "--callers", "20", "--json")
    found = json.loads(ended.stdout)
    assert [(one["what"], one["level"]) for one in found] == [(what, "good") for what in CHECKS], found
    after = standings(seat)
    made = {owner for owner in after if owner not in before}
    assert len(made) == len(CHECKS)
    assert all(owner.startswith("selftest_") for owner in made)
    assert {after[owner] for owner in made} == {"CONNECTION_STATUS_DISCONNECTED"}
    assert {owner: after[owner] for owner in before} == before
    assert "What remains are ended connections" in ended.stderr


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


@dataclass(kw_only=True)
class Leaving(Ground):
    """Notes what it disconnects."""

    ended: list[Subject] = field(default_factory=list)

    async def disconnect(self, subject: Subject) -> None:
        self.ended.append(subject)


async def test_a_sandbox_that_died_keeps_nothing_connected() -> None:
    before = Counted(refreshes=0, repeats=0)
    left = [Subject(id=one, account="a", open_id="o", before=before) for one in ("one", "two")]
    async with open_services(ClientSettings()) as services, aiohttp.ClientSession("http://127.0.0.1:1") as session:
        ground = Leaving(services=services, sandbox=Sandbox(session), namespace="left", subjects=left)
        with pytest.raises(aiohttp.ClientError):
            await ground.clear()
    assert ground.ended == left


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
