"""Replicas with rings of their own over one database."""

from libs.clock import SystemClock
from libs.vault.ring import KeyRing
from services.token.adapters.canaries import check_keys
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import NoJournal
from services.token.adapters.key_ring import PostgresKeyRing
from services.token.adapters.rotations import PostgresRotations
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.verifications import PostgresVerifications
from services.token.core import rotation
from services.token.core.key_ring import RingMember
from services.token.core.rotation import KeyRotation, Rotation, Stage
from services.token.core.vault import Vault
from services.token.core.verification import Unreadable, Verification, Verified
from tests.token.conftest import KEY, House
from tests.token.counting_provider import QuickClock

KEYS = {"k1": KEY, "k2": bytes(range(100, 132)), "k3": bytes(range(200, 232))}


def ring_of(*key_ids: str) -> KeyRing:
    """A ring that lists these keys in this order."""
    return KeyRing({key_id: KEYS[key_id] for key_id in key_ids}, active=key_ids[0])


class Keyholder:
    """One replica's ring and what operators do with it."""

    def __init__(self, house: House, name: str, ring: KeyRing) -> None:
        self.house = house
        self.ring = ring
        self.vault = Vault(ring)
        self.rows = PostgresSealedRows(house.pool)
        self.keys = PostgresKeyRing(pool=house.pool, replica=name)
        self.audit = PostgresVerifications(pool=house.pool, replica=name)
        self.member = RingMember(ring=ring, keys=self.keys, clock=SystemClock())

    async def start(self) -> "Keyholder":
        await check_keys(self.house.pool, self.ring)
        await self.member.report()
        return self

    def rotation(self) -> KeyRotation:
        return KeyRotation(
            rotation.Parts(
                member=self.member,
                keys=self.keys,
                rows=self.rows,
                connections=PostgresConnections(pool=self.house.pool, replica="rotating"),
                rotations=PostgresRotations(pool=self.house.pool, replica="rotating"),
                vault=self.vault,
                clock=QuickClock(),
            )
        )

    async def rotate(self) -> list[Rotation]:
        return [step async for step in self.rotation().rotate()]

    async def rotate_until(self, stage: Stage) -> None:
        """Leave a rotation when it reaches a stage, as its process does when it is killed."""
        async for step in self.rotation().rotate():
            if step.stage is stage:
                return

    def verification(self) -> Verification:
        return Verification(rows=self.rows, vault=self.vault, journal=NoJournal(), audit=self.audit)

    async def verify(self) -> tuple[list[Unreadable], Verified]:
        parts = [part async for part in self.verification().verify()]
        summaries = [part for part in parts if isinstance(part, Verified)]
        assert summaries == parts[-1:]
        return [part for part in parts if isinstance(part, Unreadable)], summaries[0]

    async def rows_under(self, key_id: str) -> int:
        return {key.id: key.rows for key in (await self.keys.standing()).keys}[key_id]


async def keyholder(house: House, name: str, *key_ids: str) -> Keyholder:
    """A replica that has started with these keys."""
    return await Keyholder(house, name, ring_of(*key_ids)).start()
