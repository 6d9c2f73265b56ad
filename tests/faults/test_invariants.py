"""The invariants see what they are for: each is shown a world in which it does not hold."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from libs.errors import Internal
from tests.faults.canaries import secrets_of
from tests.faults.history import Outcome, refused
from tests.faults.invariants import CHECKS
from tests.faults.lab import Lab, laboratory
from tests.faults.processes import Replica
from tests.token.token_process import KEY_HEX


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


SPELLED: Mapping[str, Callable[[bytes], bytes]] = {
    "clear": bytes,
    "hex": lambda secret: secret.hex().encode(),
    "HEX": lambda secret: secret.hex().upper().encode(),
    "percent signs": lambda secret: b"".join(b"%%%02X" % byte for byte in secret),
    "base64": base64.b64encode,
    "base64 of a longer text": lambda secret: base64.b64encode(b"Bearer x" + secret + b"."),
    "base64 of another length": lambda secret: base64.urlsafe_b64encode(b"Bearer" + secret + b"."),
    "base64url one further": lambda secret: base64.urlsafe_b64encode(b"Bearer:" + secret),
}


async def examples(lab: Lab) -> dict[str, bytes]:
    token = (await lab.ledger("shop-1"))["grants"][0]["live_refresh_token"]
    key = bytes.fromhex(KEY_HEX)
    return {"token": token.encode(), "state": next(iter(lab.made)).encode(), "key": key, "secret": b"s" * 64}


async def test_a_world_without_faults_has_no_violations(lab: Lab) -> None:
    assert [found for check in CHECKS.values() for found in await check(lab)] == []


async def test_each_invariant_sees_what_it_is_for(lab: Lab) -> None:
    await spend_elsewhere(lab, "shop-1")
    assert await CHECKS["I1"](lab) == ["shop-1: the token TikTok gave last is nowhere"]
    assert await CHECKS["I2"](lab) == ["1 dead tokens were presented once, 0 admitted"]
    await swap(lab)
    assert (await CHECKS["I7"](lab))[0].startswith("shop-1: ")
    lab.history.note("a", "GetValidToken shop-1", Outcome(reason="INTERNAL"))
    assert await CHECKS["I10"](lab) == ["a caller saw INTERNAL"]


async def test_a_secret_is_found_however_it_is_spelled(lab: Lab) -> None:
    known = await secrets_of(lab)
    missed = [
        (kind, spelling)
        for kind, secret in (await examples(lab)).items()
        for spelling, spelled in SPELLED.items()
        if not known.stand_in(b"something " + spelled(secret) + b" else")
    ]
    assert missed == []


async def test_a_token_is_found_in_a_table_and_in_what_a_caller_was_told(lab: Lab) -> None:
    token = (await lab.ledger("shop-1"))["grants"][0]["live_refresh_token"]
    await lab.sql("UPDATE connections SET reason = $1 WHERE owner_id = 'shop-1'", token.encode().hex())
    lab.history.note("a", "GetValidToken", refused(Internal(token), 0.1))
    assert await CHECKS["I5"](lab) == ["history.jsonl", "the database's dump", "answers of a"]


async def test_a_record_that_was_taken_out_of_the_trail_is_seen(tmp_path: Path) -> None:
    async with laboratory(tmp_path / "case") as lab:
        lab.certify()
        replica = await lab.replica()
        await lab.connect(replica, "shop-1")
        await replica.ask("shop-1")
        assert await CHECKS["I6"](lab) == []
        await lab.script(
            "ALTER TABLE credentials.audit_calls DISABLE TRIGGER USER;"
            "DELETE FROM credentials.audit_calls WHERE method LIKE '%/GetValidToken' AND outcome = 'BEGUN'"
        )
        cut, missing = await CHECKS["I6"](lab)
    assert cut == "credentials: DELETED at 5"
    assert "GetValidToken" in missing
    assert missing.endswith("is there 0 times and ended as OK")


async def test_a_replica_that_stands_still_is_not_ready(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.invariants.READY_WITHIN", 2.0)
    replica: Replica = lab.replicas[0]
    replica.pause()
    assert await CHECKS["I8"](lab) == ["a is not ready"]
