"""A shop of a TikTok Shop grant, and which shops of a grant an owner gets."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A shop; its cipher selects it in calls, its number is for people and 0 before it has one."""

    id: str
    cipher: str = field(repr=False)
    name: str
    region: str
    seller_type: str = ""
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which shops of a grant an owner connects: all of them, or the one that is wanted."""

    only_one: bool
    wanted: str = ""

    def among(self, shops: Sequence[Shop]) -> tuple[Shop, ...]:
        """Return the chosen shops; empty when the choice cannot be made among them."""
        if self.wanted:
            return tuple(shop for shop in shops if shop.id == self.wanted)
        return () if self.only_one and len(shops) != 1 else tuple(shops)
