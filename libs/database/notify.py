"""Listens to PostgreSQL's notifications, connects again when cut off, and knows until when it heard everything."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import asyncpg
import structlog

from libs.clock import Clock
from libs.waiting import wait_at_most

log = structlog.get_logger()

_HEARTBEAT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_CONNECT_SECONDS = 3.0
_RETRY_SECONDS = 0.25

Handler = Callable[[str], None]


class NotificationListener:
    """Calls a handler with the payload of every notification on its channel while the context is entered.

    on_gap is called after each connection, the first included: what was announced before may have been missed.
    on_loss is called at once when a connection ends, perhaps more than once.
    Entering does not wait for the database.
    """

    def __init__(
        self,
        dsn: str,
        *,
        handlers: Mapping[str, Handler],
        on_gap: Callable[[], None],
        clock: Clock,
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        self._dsn = dsn
        self._handlers = handlers
        self._on_gap = on_gap
        self._on_loss = on_loss
        self._clock = clock
        self._last_alive = -math.inf
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def last_alive(self) -> float:
        """The clock's monotonic() of the last moment known to have been heard; minus infinity before the first."""
        return self._last_alive

    async def connected(self) -> None:
        """Wait until the channels are listened to."""
        await self._connected.wait()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name="notification-listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            try:
                async with self._connection() as (connection, lost):
                    await self._hear(connection, lost)
            except Exception as error:  # noqa: BLE001 - whatever the driver makes of a failover: it has to listen again
                log.warning("notifications are not heard: connecting again", error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple["asyncpg.Connection[asyncpg.Record]", asyncio.Event]]:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=_ANSWER_SECONDS,
            server_settings={"application_name": "tokhub-listen"},
        )
        connection.add_termination_listener(lambda _connection: lost.set())
        connection.add_termination_listener(lambda _connection: self._on_loss())
        try:
            yield connection, lost
        finally:
            self._connected.clear()
            connection.terminate()

    async def _hear(self, connection: "asyncpg.Connection[asyncpg.Record]", lost: asyncio.Event) -> None:
        for channel, handler in self._handlers.items():
            await connection.add_listener(channel, _receiver(handler))
        self._on_gap()
        while not lost.is_set():
            # Taken before the question: the answer proves that everything until then has been heard.
            asked = self._clock.monotonic()
            await connection.execute("SELECT 1")
            self._last_alive = asked
            self._connected.set()
            await wait_at_most(lost, _HEARTBEAT_SECONDS)


def _receiver(handler: Handler) -> Callable[[Any, int, str, object], None]:
    def receive(_connection: Any, _process_id: int, _channel: str, payload: object) -> None:
        handler(str(payload))

    return receive
