"""Serves the application on a socket, and stops without cutting an answer off."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.gateway.connections import PATIENCE, Waiting, bounded_protocol

# Milliseconds after which the kernel ends a connection whose client takes nothing of what it is sent.
SLOWEST_TAKE = 30_000
# Seconds in which health says 503 and everything is still answered, so that a load balancer can look elsewhere.
FAREWELL = 1.0
GRACE = 10  # seconds that answers in flight have to end
BACKLOG = 1024

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one place for those."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class CannotListen(Exception):
    """The address is taken or not ours; the text names the settings to change."""


def bind(listen: Listen) -> socket.socket:
    """Return a listening socket, or raise CannotListen."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        listener = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"HOST, PORT: {error.strerror}") from error
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SLOWEST_TAKE)
    return listener


def server_of(app: ASGIApp) -> Server:
    """Return a server that trusts no forwarding header and says nothing about itself."""
    config = uvicorn.Config(
        app,
        http=bounded_protocol(Waiting()),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=PATIENCE,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )
    return Server(config)


async def serve(app: ASGIApp, *, listen: Listen, stop: asyncio.Event, farewell: float = FAREWELL) -> None:
    """Serve until stop is set, then for farewell seconds more, then end what is in flight within GRACE."""
    server = server_of(app)
    with bind(listen) as listener:
        host, port = listener.getsockname()[:2]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        log.info("serving", host=host, port=port)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await asyncio.sleep(farewell)
        server.should_exit = True
        await serving
    log.info("stopped")
