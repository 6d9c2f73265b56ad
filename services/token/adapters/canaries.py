"""Checks the key ring against the database before anything is written with it."""

from libs.database.pool import Borrowed, Pool, borrow
from libs.vault.ring import CannotOpen, KeyRing, WrongKeys, header, place_of
from services.token.adapters.sealed_columns import SEALED_FIELDS, header_of

PLACE = place_of("tokhub/canary/v1")
CANARY = b"this key opens what it sealed"

# A header that belongs to no canary is a damaged row's: it must not stop the stores whose rows are whole.
# Grants that are still to be ended at TikTok need their key until that is done.
HEADERS_IN_USE = f"""
    SELECT header FROM {SEALED_FIELDS}
    UNION SELECT {header_of("access_token")} FROM revocations
    UNION SELECT {header_of("refresh_token")} FROM revocations
"""


async def check_keys(pool: Pool, ring: KeyRing) -> None:
    """Raise WrongKeys unless every key in use is in the ring and every key is what it was; new keys get a canary."""
    async with borrow(pool) as database, database.transaction():
        needed = await needed_keys(database) - set(ring.key_ids)
        if needed:
            raise WrongKeys(f"stored tokens need key {', '.join(sorted(needed))}, which is not set")
        await add_canaries(database, ring)
        for key_id, sealed in (await stored_canaries(database)).items():
            if key_id in ring.key_ids and not opens(ring, sealed):
                raise WrongKeys(
                    f"key {key_id} is not the key of that name that was set before: a new key needs a new id"
                )


async def needed_keys(database: Borrowed) -> set[str]:
    """Return the keys that stored tokens are sealed with."""
    in_use = {row["header"] for row in await database.fetch(HEADERS_IN_USE)}
    return {key_id for key_id in await stored_canaries(database) if header(key_id) in in_use}


async def stored_canaries(database: Borrowed) -> dict[str, bytes]:
    """Return the canaries by key."""
    return {row["key_id"]: row["sealed"] for row in await database.fetch("SELECT key_id, sealed FROM key_canaries")}


async def add_canaries(database: Borrowed, ring: KeyRing) -> None:
    """Give every key that is new a canary; of two replicas that bring different keys of one id, the first has it."""
    stored = await stored_canaries(database)
    new = [(key_id, ring.seal_with(key_id, CANARY, PLACE)) for key_id in ring.key_ids if key_id not in stored]
    await database.executemany("INSERT INTO key_canaries (key_id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING", new)


def opens(ring: KeyRing, sealed: bytes) -> bool:
    """Return whether a canary opens."""
    try:
        return ring.open(sealed, PLACE) == CANARY
    except CannotOpen:
        return False
