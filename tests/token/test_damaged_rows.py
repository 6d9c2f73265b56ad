"""Rows that were moved or damaged: a typed error, that store named and marked, every other store as before."""

import pytest

from libs.errors import ServerMisconfig
from services.token.core.vault import Vault
from services.token.domain.connection import Status
from tests.token.conftest import MINUTE, House, store
from tests.token.key_rings import keyholder, ring_of

# What somebody with access to the database might do to shop-1, so that a token opens where it does not belong.
MOVES = {
    "another row's access token": "access_token = other.access_token",
    "another row's refresh token": "refresh_token = other.refresh_token",
    "both fields exchanged": "access_token = mine.refresh_token, refresh_token = mine.access_token",
    "another generation": "generation = mine.generation + 1",
    "another epoch": "epoch = mine.epoch + 1",
    "no access token": "access_token = ''",
    "half a refresh token": "refresh_token = substring(mine.refresh_token FOR 20)",
    "an unknown key": "access_token = set_byte(mine.access_token, 2, 120)",
    "another version byte": "refresh_token = set_byte(mine.refresh_token, 0, 2)",
}


async def status_of(house: House, code: str) -> tuple[str, str]:
    row = await house.pool.fetchrow("SELECT status, reason FROM connections WHERE owner_id = $1", code)
    assert row is not None
    return row["status"], row["reason"]


async def ask_for_new_tokens(house: House, code: str) -> None:
    """Ask for the access token, then for a refresh, which opens the refresh token."""
    tokens = house.replica().tokens
    await tokens.get_valid(store(code), MINUTE)
    await tokens.refresh(store(code), f"refresh of {code}")


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
async def test_a_row_that_was_tampered_with_is_refused_and_named(house: House, move: str) -> None:
    vault = await keyholder(house, "one", "k1")
    for code in ("shop-1", "shop-2", "shop-3"):
        await house.connect(code)
    await house.pool.execute(
        f"UPDATE connections AS changed SET {move} FROM connections AS mine, connections AS other "
        "WHERE changed.owner_id = 'shop-1' AND mine.id = changed.id AND other.owner_id = 'shop-2'"
    )

    with pytest.raises(ServerMisconfig, match="does not open"):
        await ask_for_new_tokens(house, "shop-1")
    await ask_for_new_tokens(house, "shop-3")

    assert await status_of(house, "shop-1") == (Status.SUSPECT, "unreadable")
    assert await status_of(house, "shop-3") == (Status.ACTIVE, "")
    findings, verified = await vault.verify()
    assert {finding.row.owner.id for finding in findings} == {"shop-1"}
    assert (verified.rows, verified.unreadable_rows) == (3, 1)


async def test_every_byte_of_a_row_matters(house: House) -> None:
    vault = await keyholder(house, "one", "k1")
    connection = await house.connect("shop-1")
    await house.connect("shop-2")
    for column, field in (("access_token", "access"), ("refresh_token", "refresh")):
        whole = await house.pool.fetchval(f"SELECT {column} FROM connections WHERE id = $1", connection.id)
        for position in range(len(whole)):
            damaged = bytes(byte ^ (index == position) for index, byte in enumerate(whole))
            await house.pool.execute(f"UPDATE connections SET {column} = $2 WHERE id = $1", connection.id, damaged)
            findings, _ = await vault.verify()
            assert [(one.row.connection_id, one.field) for one in findings] == [(connection.id, field)]
        await house.pool.execute(f"UPDATE connections SET {column} = $2 WHERE id = $1", connection.id, whole)

    assert (await vault.verify())[1].unreadable_tokens == 0


async def test_a_damaged_key_id_keeps_no_replica_from_starting(house: House) -> None:
    await keyholder(house, "one", "k1")
    await house.connect("shop-1")
    await house.connect("shop-2")
    await house.pool.execute(
        "UPDATE connections SET access_token = set_byte(access_token, 2, 120) WHERE owner_id = 'shop-1'"
    )

    two = await keyholder(house, "two", "k1")

    assert (await two.keys.standing()).unrecognised_rows == 1
    await ask_for_new_tokens(house, "shop-2")


async def test_a_row_is_not_blamed_for_a_key_that_only_this_replica_lacks(house: House) -> None:
    one = await keyholder(house, "one", "k1", "k2")
    connection = await house.connect("shop-1")
    stored = (await one.rows.page(0, 1))[0]
    resealed = Vault(ring_of("k2", "k1")).reseal(stored.tokens, connection.id, connection.version)
    await house.pool.execute(
        "UPDATE connections SET access_token = $1, refresh_token = $2", resealed.access, resealed.refresh
    )

    with pytest.raises(ServerMisconfig, match="does not open"):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, "shop-1") == (Status.ACTIVE, "")
