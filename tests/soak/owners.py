"""Owners who consent once more when they are told that their connection is lost."""

import asyncio
from contextlib import suppress

import asyncpg

from libs.errors import TokhubError
from tests.soak.world import World

LOOK_EVERY = 5.0  # seconds
LIVING = ("ACTIVE", "SUSPECT")


class Owners:
    """Looks until it is cancelled; named are those who had to, each time with what they were told."""

    def __init__(self, world: World) -> None:
        self.named: list[str] = []
        self._world = world

    async def look_on(self) -> None:
        """Look again and again, also while a service or the database is away."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with suppress(TokhubError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connect_again()

    async def _connect_again(self) -> None:
        lab = self._world.lab
        for code, status in (await lab.statuses(*self._world.stores)).items():
            if not status.startswith(LIVING):
                await lab.connect_account(self._world.tokens[0], code, lab.accounts[code])
                self.named.append(f"{code}: {status}")
