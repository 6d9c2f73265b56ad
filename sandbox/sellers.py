"""The sellers and creators of TikTok Shop: seller k has the same shops in every run with the same seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sandbox.draws import Draws
from sandbox.phrases import ADJECTIVES, NAMES
from sandbox.signing import Family

LARGEST_COUNT = 100_000
SHOPS_OF_MANY = 3
REGIONS = ("US", "GB", "DE", "VN", "ID", "MX")
SELLER, CREATOR = 0, 1


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop as authorization/202309/shops shows it."""

    id: str
    name: str
    region: str
    seller_type: Literal["LOCAL", "CROSS_BORDER"]
    cipher: str
    code: str

    def as_json(self) -> dict[str, Any]:
        """Return its row."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Seller:
    """One who may authorize the Shop app; a creator has neither a name, a region nor shops."""

    index: int
    username: str
    open_id: str
    user_type: int
    name: str | None
    region: str | None
    shops: tuple[Shop, ...]

    @property
    def family(self) -> Family:
        """The family of this one's tokens: US or the rest of the world."""
        return "TTP" if self.region == "US" else "ROW"


def seller_at(seed: int, index: int) -> Seller:
    """Return seller number `index`: every third sells across borders in three shops, the others in one at home."""
    draws = Draws(seed, "seller", index)
    name = f"{draws.pick(NAMES)} {draws.pick(ADJECTIVES)}"
    home = draws.pick(REGIONS)
    abroad = index % 3 == 0
    regions = (home, *(region for region in REGIONS if region != home))[: SHOPS_OF_MANY if abroad else 1]
    return Seller(
        index=index,
        username=f"seller_{index:04d}",
        open_id=_open_id(draws),
        user_type=SELLER,
        name=name,
        region=home,
        shops=tuple(_shop(draws, f"{name} {region}", region, abroad) for region in regions),
    )


def creator_at(seed: int, index: int) -> Seller:
    """Return creator number `index`."""
    return Seller(
        index=index,
        username=f"creator_{index:04d}",
        open_id=_open_id(Draws(seed, "creator", index)),
        user_type=CREATOR,
        name=None,
        region=None,
        shops=(),
    )


def _open_id(draws: Draws) -> str:
    return f"sandbox-{draws.take(16).hex()}"


def _shop(draws: Draws, name: str, region: str, abroad: bool) -> Shop:
    return Shop(
        id=f"749{int.from_bytes(draws.take(8), 'big') % 10**16:016d}",
        name=name,
        region=region,
        seller_type="CROSS_BORDER" if abroad else "LOCAL",
        cipher=f"{'TTP' if region == 'US' else 'ROW'}_{draws.take(16).hex()}",
        code=f"{region}{draws.take(5).hex().upper()}",
    )


class Sellers:
    """All sellers and creators that exist now; the number of sellers only grows."""

    def __init__(self, *, seed: int, count: int, creators: int) -> None:
        self._seed = seed
        self._sellers: list[Seller] = []
        self._creators = [creator_at(seed, index) for index in range(1, creators + 1)]
        self._by_name: dict[str, Seller] = {}
        self._learn(self._creators)
        self.grow_to(count)

    @property
    def count(self) -> int:
        """How many sellers there are, creators apart."""
        return len(self._sellers)

    def __iter__(self) -> Iterator[Seller]:
        yield from self._sellers
        yield from self._creators

    def grow_to(self, count: int) -> int:
        """Make sure sellers 1 to `count` exist and return how many are new."""
        new = [seller_at(self._seed, index) for index in range(len(self._sellers) + 1, count + 1)]
        self._sellers.extend(new)
        self._learn(new)
        return len(new)

    def find(self, name: str) -> Seller | None:
        """Return the one with this open_id, username or shop id."""
        return self._by_name.get(name)

    def search(self, text: str) -> list[Seller]:
        """Return those whose names contain `text`, case apart; sellers first."""
        wanted = text.strip().casefold()
        return [s for s in self if wanted in f"{s.username} {s.name or ''} {s.open_id}".casefold()]

    def _learn(self, new: list[Seller]) -> None:
        for seller in new:
            self._by_name[seller.open_id] = self._by_name[seller.username] = seller
            for shop in seller.shops:
                self._by_name[shop.id] = seller
