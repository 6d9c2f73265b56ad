"""Hands the database's announcements of changed runs to whoever follows those runs in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class RunHints:
    """Events by run."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def of(self, run_id: str) -> Iterator[asyncio.Event]:
        """Lend an event that is set at every hint about the run."""
        event = asyncio.Event()
        events = self._events.setdefault(run_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._events.pop(run_id, None)

    def announce(self, run_id: str) -> None:
        """Set the events of a run that changed."""
        for event in self._events.get(run_id, ()):
            event.set()

    def announce_all(self) -> None:
        """Set every event: something may have been missed."""
        for run_id in self._events:
            self.announce(run_id)
