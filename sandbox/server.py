"""Serves the sandbox on one port until SIGINT or SIGTERM, and can misbehave towards a caller."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.web.wire import WIRE, Wire

DRAIN_SECONDS = 2
KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that no call meets a closing one
SCHEDULED_TO_STOP = (signal.SIGINT, signal.SIGTERM)


class WireProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose requests carry their connection, for answers that break its rules."""

    def on_message_begin(self) -> None:
        """Offer the connection beside what every request has."""
        super().on_message_begin()
        extensions: dict[str, Any] = {WIRE: Wire(self.transport, self.flow)}
        self.scope["extensions"] = extensions


class Server(uvicorn.Server):
    """A server that ends with exit code 0 when it is asked to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop serving on a signal, without raising it again at the end."""
        loop = asyncio.get_running_loop()
        for number in SCHEDULED_TO_STOP:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SCHEDULED_TO_STOP:
                loop.remove_signal_handler(number)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; OSError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2_048)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until a signal asks to stop, then finish what is under way."""
    config = uvicorn.Config(
        app,
        http=WireProtocol,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    Server(config).run(sockets=[listener])
