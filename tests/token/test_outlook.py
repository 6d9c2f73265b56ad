"""What the token service tells Prometheus of all connections."""

from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.metrics import LastLook
from libs.tiktok.transport import Transport
from services.token.__main__ import measuring
from services.token.adapters.journal.journal import NoJournal
from services.token.adapters.outlook import Outlook
from services.token.composition import Grounds
from tests.token.conftest import House

ENDS = "UPDATE connections SET refresh_expires_at = now() + $2::interval WHERE owner_id = $1"
MASS = "tokhub_token_mass_expiry_seconds"
LOGIN_KIT, SHOP = {"provider": "login_kit"}, {"provider": "tiktok_shop"}


async def seen(house: House) -> CollectorRegistry:
    registry = CollectorRegistry()
    look = LastLook(Outlook(house.pool).look, every=30, clock=SystemClock())
    registry.register(look)
    await look.refresh()
    return registry


async def connect(house: House, count: int, ends: str = "180 days") -> None:
    """Connect so many accounts whose consent ends at some time from now."""
    await house.connect("shop-1")
    columns = """provider, team_id, status, scopes, epoch, generation, access_token, refresh_token, access_given,
        refresh_given, received_at, access_expires_at, owner_kind"""
    await house.pool.execute(
        f"""INSERT INTO connections (id, {columns}, owner_id, account_id, refresh_expires_at)
        SELECT gen_random_uuid(), {columns}, 'more-' || n, 'account-' || n, now() + '{ends}'
        FROM connections, generate_series(2, {count}) AS n"""
    )


async def test_connections_are_told_by_status_with_zeros(house: House) -> None:
    await connect(house, 3)
    await house.pool.execute("UPDATE connections SET status = 'REAUTH_REQUIRED' WHERE owner_id = 'more-2'")

    registry = await seen(house)

    told = [
        registry.get_sample_value("tokhub_token_connections", LOGIN_KIT | {"status": status})
        for status in ("ACTIVE", "SUSPECT", "REAUTH_REQUIRED", "DISCONNECTED")
    ]
    assert told == [2, 0, 1, 0]
    assert registry.get_sample_value("tokhub_token_connections", SHOP | {"status": "ACTIVE"}) == 0


async def test_consents_that_end_are_told_by_how_soon(house: House) -> None:
    await connect(house, 5)
    for owner, left in (("more-2", "-1 min"), ("more-3", "23 h"), ("more-4", "25 h"), ("more-5", "6 days")):
        await house.pool.execute(ENDS.replace("$2", f"'{left}'"), owner)
    await house.pool.execute("UPDATE connections SET status = 'DISCONNECTED' WHERE owner_id = 'more-2'")
    await house.pool.execute("UPDATE connections SET access_expires_at = now() WHERE owner_id <> 'shop-1'")

    registry = await seen(house)

    ending = [
        registry.get_sample_value("tokhub_token_consents_ending", LOGIN_KIT | {"within": within})
        for within in ("0h", "24h", "48h", "7d")
    ]
    assert ending == [0, 1, 2, 3]
    assert registry.get_sample_value("tokhub_token_access_ended", LOGIN_KIT) == 3


async def test_a_mass_expiry_is_a_tenth_within_a_day(house: House) -> None:
    await connect(house, 110)
    await house.pool.execute("UPDATE connections SET refresh_expires_at = NULL WHERE owner_id = 'shop-1'")
    spread = (
        "UPDATE connections SET refresh_expires_at = now() + (100 + substring(owner_id, 6)::int) * interval '1 day'"
    )
    await house.pool.execute(f"{spread} WHERE owner_id <> 'shop-1'")
    before = (await seen(house)).get_sample_value(MASS, LOGIN_KIT)
    # Eleven of 109, the first of them in 50 days; a lonely one before them is no mass.
    together = (
        "UPDATE connections SET refresh_expires_at = now() + '50 days' + substring(owner_id, 6)::int * '1 h'::interval"
    )
    await house.pool.execute(f"{together} WHERE owner_id IN (SELECT 'more-' || generate_series(2, 12))")
    await house.pool.execute(ENDS.replace("$2", "'20 days'"), "more-40")

    registry = await seen(house)

    assert before == float("inf")
    day = 86_400
    assert 50 * day < (registry.get_sample_value(MASS, LOGIN_KIT) or 0) < 50.1 * day
    assert registry.get_sample_value(MASS, SHOP) == float("inf")


async def test_a_look_that_takes_long_does_not_hold_up_the_start(house: House) -> None:
    async with Transport() as transport, house.pool.acquire() as database, database.transaction():
        await database.execute("LOCK TABLE connections")
        grounds = Grounds(
            pool=house.pool,
            reserve=house.pool,
            transport=transport,
            ring=house.vault._ring,
            journal=NoJournal(),
            replica="test",
        )
        async with measuring(grounds):
            told = grounds.registry.get_sample_value("tokhub_token_connections", LOGIN_KIT | {"status": "ACTIVE"})

    assert told is None
