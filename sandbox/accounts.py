"""The people of this TikTok: account k is the same person in every run with the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sandbox.draws import Draws
from sandbox.phrases import ADJECTIVES, NAMES

LARGEST_COUNT = 100_000


@dataclass(frozen=True, slots=True)
class Account:
    """One TikTok account; `index` counts from 1 and `open_id` is what this app sees of it."""

    index: int
    username: str
    open_id: str
    union_id: str
    display_name: str


def account_at(seed: int, index: int) -> Account:
    """Return account number `index`."""
    draws = Draws(seed, "account", index)
    name = f"{draws.pick(NAMES)} {draws.pick(ADJECTIVES)}"
    return Account(
        index=index,
        username=f"store_{index:04d}",
        open_id=str(UUID(bytes=draws.take(16), version=4)),
        union_id=str(UUID(bytes=draws.take(16), version=4)),
        display_name=name,
    )


class Accounts:
    """All accounts that exist now; their number only grows."""

    def __init__(self, *, seed: int, count: int) -> None:
        self._seed = seed
        self._all: list[Account] = []
        self._by_name: dict[str, Account] = {}
        self.grow_to(count)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._all)

    def grow_to(self, count: int) -> int:
        """Make sure accounts 1 to `count` exist and return how many are new."""
        new = [account_at(self._seed, index) for index in range(len(self._all) + 1, count + 1)]
        self._all.extend(new)
        for account in new:
            self._by_name[account.open_id] = self._by_name[account.username] = account
        return len(new)

    def find(self, name: str) -> Account | None:
        """Return the account with this open_id or username."""
        return self._by_name.get(name)

    def search(self, text: str) -> list[Account]:
        """Return the accounts whose names contain `text`, case apart, in order of their numbers."""
        wanted = text.strip().casefold()
        return [a for a in self._all if wanted in f"{a.username} {a.display_name} {a.open_id}".casefold()]
