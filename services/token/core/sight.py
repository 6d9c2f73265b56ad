"""Whether the rows can be taken for the newest: not from the moment the database is lost from sight until it is healed.

A failover or a restore cuts every connection, and what answers next may have gone back in time. Its refresh tokens were
spent then, and presenting one again may end the grant. So nothing is refreshed until the journals were held against it.
"""

import asyncio

from libs.errors import StorageUnavailable

PATIENCE = 10.0  # seconds a refresh waits


class Sight:
    """In sight at first, as a process replays before it serves; a mark tells one look at the rows from the next."""

    def __init__(self) -> None:
        self._losses = 0
        self._clear = asyncio.Event()
        self._clear.set()

    @property
    def mark(self) -> int:
        """Changes when the database is lost from sight."""
        return self._losses

    def lose(self) -> None:
        """Say that the rows may go back in time now."""
        self._losses += 1
        self._clear.clear()

    def regain(self, mark: int) -> None:
        """Say that the rows are the newest, unless the database was lost once more after the mark was taken."""
        if mark == self._losses:
            self._clear.set()

    async def wait(self) -> int:
        """Return the mark once the rows are the newest; raise StorageUnavailable when that takes long."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._clear.wait()
        except TimeoutError:
            raise StorageUnavailable("The database was away and is not whole again yet: try again soon.") from None
        return self._losses
