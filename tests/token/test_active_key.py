"""Which key seals: decided among all replicas, never by one alone."""

import pytest

from libs.errors import KeyNotReady, ServerMisconfig
from libs.vault.ring import KeyRing, WrongKeys
from libs.vault.usage import REFUSE_AT
from services.token.core.vault import Vault
from tests.token.conftest import House, store
from tests.token.key_rings import KEYS, Keyholder, keyholder, ring_of


async def test_the_first_key_of_the_first_replica_seals(house: House) -> None:
    one = await keyholder(house, "one", "k2", "k1")

    assert one.ring.active == "k2"


async def test_a_new_key_waits_until_every_replica_knows_it(house: House) -> None:
    one, two = await keyholder(house, "one", "k1"), await keyholder(house, "two", "k1")

    await one.keys.leave()
    one = await keyholder(house, "one", "k2", "k1")
    while_two_lacks_it = one.ring.active
    await two.keys.leave()
    two = await keyholder(house, "two", "k2", "k1")
    await one.member.report()

    assert (while_two_lacks_it, one.ring.active, two.ring.active) == ("k1", "k2", "k2")


async def test_a_replica_not_heard_of_for_long_holds_nothing_up(house: House) -> None:
    await keyholder(house, "dead", "k1")
    await house.pool.execute("UPDATE key_replicas SET seen_at = seen_at - interval '30 s'")

    one = await keyholder(house, "one", "k2", "k1")

    assert one.ring.active == "k2"


async def test_replicas_with_different_first_keys_do_not_take_turns(house: House) -> None:
    one, two = await keyholder(house, "one", "k1", "k2"), await keyholder(house, "two", "k2", "k1")
    seen = []
    for _ in range(3):
        for member in (one, two):
            await member.member.report()
            seen.append(member.ring.active)

    assert set(seen) == {"k2"}


async def test_a_replica_without_the_active_key_does_not_start(house: House) -> None:
    await keyholder(house, "one", "k2", "k1")

    with pytest.raises(WrongKeys, match="k2 seals the stored tokens now"):
        await keyholder(house, "two", "k1")

    assert (await Keyholder(house, "one", ring_of("k2")).keys.standing()).live_replicas == ["one"]


async def test_a_replica_that_slept_through_an_activation_is_out_of_step(house: House) -> None:
    sleeper = await keyholder(house, "sleeper", "k1")
    await house.pool.execute("UPDATE key_replicas SET seen_at = seen_at - interval '30 s'")
    await keyholder(house, "one", "k2", "k1")

    in_step_before = sleeper.member.in_step
    with pytest.raises(WrongKeys):
        await sleeper.member.report()

    assert (in_step_before, sleeper.member.in_step) == (True, False)


async def test_rotation_is_refused_while_a_replica_lacks_the_key(house: House) -> None:
    await keyholder(house, "old-one", "k1")
    one = await keyholder(house, "one", "k2", "k1")

    with pytest.raises(KeyNotReady, match=r"k2 is not active yet.*old-one.*Start each of them again with k2"):
        await one.rotate()


async def test_another_key_under_a_known_id_is_refused_even_if_it_never_sealed(house: House) -> None:
    await keyholder(house, "one", "k1", "k2")
    other = KeyRing({"k1": KEYS["k1"], "k2": KEYS["k3"]}, active="k1")

    with pytest.raises(WrongKeys, match="key k2 is not the key of that name"):
        await Keyholder(house, "two", other).start()


async def test_sealed_values_of_all_replicas_are_counted_together(house: House) -> None:
    one, two = await keyholder(house, "one", "k1"), await keyholder(house, "two", "k1")
    for keyed in (one, two):
        for _ in range(10):
            keyed.ring.seal(b"x", b"place")
        await keyed.member.report()

    # Twenty, and the first one's canary.
    assert (await one.keys.standing()).keys[0].encryptions == 21
    assert two.ring.usage.total("k1") == 21


async def test_a_key_that_sealed_too_often_starts_no_new_tokens(house: House) -> None:
    one = await keyholder(house, "one", "k1")
    await house.pool.execute("UPDATE key_canaries SET encryptions = $1", REFUSE_AT)
    await one.member.report()

    with pytest.raises(ServerMisconfig, match="put a new key first in TOKEN_ENC_KEYS"):
        one.vault.require_room()
    assert one.ring.open(one.ring.seal(b"what TikTok gave", b"p"), b"p") == b"what TikTok gave"


async def test_no_token_is_presented_that_could_not_be_sealed_safely(house: House) -> None:
    await house.connect("shop-1")
    ring = ring_of("k1")
    ring.usage.learn({"k1": REFUSE_AT})
    house.vault = Vault(ring)

    with pytest.raises(ServerMisconfig, match="put a new key first"):
        await house.replica().tokens.refresh(store("shop-1"), "request")

    assert house.provider.presented == []


async def test_a_grant_still_to_be_ended_at_tiktok_keeps_its_key(house: House) -> None:
    one = await keyholder(house, "one", "k1")
    await house.connect("shop-1")
    await house.pool.execute(
        "INSERT INTO revocations (connection_id, provider, account_id, epoch, generation, access_token, refresh_token, "
        "access_expires_at) SELECT id, provider, account_id, epoch, generation, access_token, refresh_token, "
        "access_expires_at FROM connections"
    )
    await house.pool.execute("UPDATE connections SET status = 'DISCONNECTED', epoch = epoch + 1")
    await one.keys.leave()
    await keyholder(house, "two", "k2", "k1")

    with pytest.raises(WrongKeys, match="stored tokens need key k1"):
        await keyholder(house, "three", "k2")


async def test_keys_show_who_knows_them_and_how_many_rows_need_them(house: House) -> None:
    await keyholder(house, "one", "k1")
    await house.connect("shop-1")
    await house.connect("shop-2")
    two = await keyholder(house, "two", "k1", "k2")

    first, second = (await two.keys.standing()).keys

    assert (first.id, first.active, first.rows, list(first.replicas)) == ("k1", True, 2, ["one", "two"])
    assert (second.id, second.active, second.rows, list(second.replicas)) == ("k2", False, 0, ["two"])
    assert second.activated_at is None
