"""Checks the key ring against the database before anything is written with it."""

from libs.database.pool import Pool, borrow
from libs.vault.ring import CannotOpen, KeyRing, WrongKeys

PLACE = ("tokhub/canary/v1",)
CANARY = b"this key opens what it sealed"

# The key id stands behind the version byte and its length; see libs/vault/ring.py.
KEYS_IN_USE = """
    SELECT DISTINCT convert_from(substring(access_token FROM 3 FOR get_byte(access_token, 1)), 'SQL_ASCII')
    FROM connections
"""


async def check_keys(pool: Pool, ring: KeyRing) -> None:
    """Raise WrongKeys unless every key in use is in the ring and is the key that it was."""
    async with borrow(pool) as database:
        unknown = {row[0] for row in await database.fetch(KEYS_IN_USE)} - set(ring.key_ids)
        if unknown:
            raise WrongKeys(f"stored tokens need key {', '.join(sorted(unknown))}, which is not set")
        stored = {
            row["key_id"]: row["sealed"] for row in await database.fetch("SELECT key_id, sealed FROM key_canaries")
        }
        for key_id in ring.key_ids:
            if key_id in stored and not opens(ring, stored[key_id]):
                raise WrongKeys(f"key {key_id} is not the key of that name that sealed the stored tokens")
        if ring.active not in stored:
            insert = "INSERT INTO key_canaries (key_id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING"
            await database.execute(insert, ring.active, ring.seal(CANARY, PLACE))


def opens(ring: KeyRing, sealed: bytes) -> bool:
    """Return whether a canary opens."""
    try:
        return ring.open(sealed, PLACE) == CANARY
    except CannotOpen:
        return False
