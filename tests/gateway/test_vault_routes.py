"""The vault over HTTP: a look for every key, a rotation for those that may change things."""

import asyncio
import json

from libs.errors import KeyNotReady
from tests.gateway.served import ADMIN, READ, Gateway
from tests.gateway.watching import Events

PATH = "/admin/vault"
EVENTS = {"Accept": "text/event-stream"}


async def test_the_ring_is_shown_to_every_key(gateway: Gateway) -> None:
    answer = await gateway.client.get(PATH, headers=READ)

    ring = answer.json()["data"]
    assert [(key["id"], key["active"], key["rows"]) for key in ring["keys"]] == [("default", False, 2), ("k2", True, 0)]
    assert (ring["keys"][0]["activateTime"], ring["keys"][1]["activateTime"]) == ("2026-01-01T00:00:00.000Z", None)
    assert (ring["liveReplicas"], ring["unrecognisedRows"]) == (["r1"], 0)


async def test_a_rotation_is_told_step_by_step(gateway: Gateway) -> None:
    gateway.suite.vault.rotates(1, 2)

    async with gateway.client.stream("POST", f"{PATH}/rotate", headers=ADMIN | EVENTS) as answer:
        events = Events(answer)
        told = [block for block in [await events.block() for _ in range(4)] if "data" in block]

    assert [(block["event"], json.loads(block["data"])["rewritten"]) for block in told] == [
        *(("progress", 1), ("progress", 2), ("summary", 2)),
    ]


async def test_a_rotation_answers_with_its_summary(gateway: Gateway) -> None:
    gateway.suite.vault.rotates(2)

    answer = await gateway.client.post(f"{PATH}/rotate", headers=ADMIN)

    assert answer.json()["data"] == {"keyId": "k2", "total": 2, "rewritten": 2, "unreadable": 0, "duration": 0}


async def test_who_leaves_a_rotation_stops_it(gateway: Gateway) -> None:
    async with gateway.client.stream("POST", f"{PATH}/rotate", headers=ADMIN | EVENTS):
        await asyncio.wait_for(gateway.suite.vault.begun.wait(), 5)

    await asyncio.wait_for(gateway.suite.vault.left.wait(), 5)


async def test_a_reading_key_rotates_nothing(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"{PATH}/rotate", headers=READ)

    assert (answer.status_code, gateway.suite.vault.script.actors) == (403, [])


async def test_a_rotation_that_cannot_begin_says_why_in_both_forms(gateway: Gateway) -> None:
    gateway.suite.vault.script.fail_next = KeyNotReady("r2 lacks the key k2")
    plain = await gateway.client.post(f"{PATH}/rotate", headers=ADMIN)
    gateway.suite.vault.script.fail_next = KeyNotReady("r2 lacks the key k2")
    async with gateway.client.stream("POST", f"{PATH}/rotate", headers=ADMIN | EVENTS) as answer:
        events = Events(answer)
        await events.block()
        told = await events.block()

    assert (plain.status_code, plain.json()["error"]["code"]) == (409, "KEY_NOT_READY")
    assert (told["event"], json.loads(told["data"])["code"]) == ("refused", "KEY_NOT_READY")
