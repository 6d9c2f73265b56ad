"""Faults of key rotations: killed in the middle, under load, with a replica that lacks the key."""

from tokhub.token.v1 import vault_pb2

from libs.errors import KeyNotReady
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.waiting import until
from tests.token.rotation_campaign import Size, ring_text, rotate_under_fire


async def rotations(lab: Lab, size: Size) -> str:
    """Rotate under fire; return what was seen, having seen that nothing is unreadable or lost."""
    setup = lab.prepared("setup")
    await setup.start()
    await setup.stop()
    lab.replicas.clear()
    await lab.sql("TRUNCATE key_canaries CASCADE")
    outcome = await rotate_under_fire(lab.dsn, lab.sandbox, lab.journal, size)
    after = outcome.vaulted
    bad = (after.verified.unreadable_rows, after.rows_under_old_keys, after.lost_tokens, after.dead_tokens_presented)
    await lab.replica("after", TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=ring_text(size.rotations))
    expect(bad == (0, 0, 0, 0) and outcome.killed_in_a_batch > 0, outcome)
    return (
        f"{size.rotations} rotations of {size.stores} rows, {outcome.refreshes} refreshes, "
        f"{outcome.killed_in_a_batch} kills in a batch: 0 unreadable, 0 under old keys, 0 lost"
    )


@case(
    "C15",
    fault="3 key rotations with a kill -9 in each, against 30 refreshes a second and disconnects",
    expected="every row opens under the newest key, no token lost, none presented dead",
)
async def rotations_against_refreshes(lab: Lab) -> str:
    return await rotations(lab, Size(stores=40, rotations=3, refreshes_per_second=30))


@case(
    "S11",
    fault="20 key rotations of 300 rows against 50 refreshes a second, a kill -9 in a batch of each fifth",
    expected="0 unreadable rows, none under an old key, no token lost",
    within=1200,  # it starts processes 30 times, which a machine that does much else makes long
)
async def rotations_at_full_size(lab: Lab) -> str:
    return await rotations(lab, Size(stores=300, rotations=20, refreshes_per_second=50, keys_at_once=5))


async def rotate(replica: Replica) -> str:
    """Rotate until every row is rewritten; return why not, if it is refused."""
    call = replica.vault.RotateKeys(vault_pb2.RotateKeysRequest())
    try:
        async for step in call:
            if step.progress.stage == vault_pb2.ROTATION_STAGE_SETTLING:
                return ""
    except KeyNotReady as error:
        return error.message
    finally:
        call.cancel()
    return ""


async def active_key(replica: Replica) -> str:
    """Return the key that seals."""
    ring = await replica.vault.GetKeyRing(vault_pb2.GetKeyRingRequest())
    return "".join(key.id for key in ring.keys if key.active)


@case(
    "S11 lacking",
    fault="a rotation is asked for while one of three replicas lacks the new key; that one is then killed",
    expected="KEY_NOT_READY names it, the old key goes on sealing; the new one is active once the dead is not counted",
)
async def replica_without_the_key(lab: Lab) -> str:
    await lab.replica("lacking", TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=ring_text(0))
    lacking = lab.replicas[0]
    others = [await lab.replica(name, TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=ring_text(1)) for name in ("b", "c")]
    await lab.connect(others[0], "shop-1", "shop-2")
    said = [await rotate(one) for one in others]
    expect(all("do not know it" in one for one in said), said)
    expect([await active_key(one) for one in others] == ["k0", "k0"], "another key is active")
    await lab.expire()
    found = [str(await one.ask(code)) for one, code in zip((lacking, others[1]), ("shop-1", "shop-2"), strict=True)]
    expect(found == ["FRESH 2"] * 2, found)
    await lacking.kill()

    async def is_active() -> bool:
        return await active_key(others[0]) == "k1"

    took = await until("the new key's activation", is_active, within=60)
    expect(not await rotate(others[1]), "the rotation was refused")
    sealed = await lab.sql("SELECT DISTINCT substring(access_token FROM 3 FOR 2) AS key FROM connections")
    expect([bytes(row["key"]) for row in sealed] == [b"k1"], sealed)
    return f"{said[0][:61]}; sealed with k0 until the replica was gone; k1 active after {took:.0f} s, all rows under it"
