"""Serves the sandbox until SIGINT or SIGTERM, on a port of its own in TLS too, and can misbehave towards a caller."""

import asyncio
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.settings import Settings
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


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Where the sandbox is called: in plaintext, and encrypted when it has a certificate."""

    plain: socket.socket
    encrypted: socket.socket | None
    context: ssl.SSLContext | None


class Server(uvicorn.Server):
    """A server that ends with exit code 0 when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, listeners: Listeners) -> None:
        super().__init__(config)
        self._listeners = listeners

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the encrypted port beside the other."""
        await super().startup(sockets)
        ours = self._listeners
        if ours.encrypted:
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_server(self._protocol, sock=ours.encrypted, ssl=ours.context))

    def _protocol(self) -> WireProtocol:
        return WireProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

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


def listeners_of(settings: Settings) -> Listeners:
    """Return the listening sockets; OSError for an address that cannot be had and a certificate that cannot be used."""
    plain = listen(settings.host, settings.port)
    if settings.tls_cert is None:
        return Listeners(plain=plain, encrypted=None, context=None)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return Listeners(plain=plain, encrypted=listen(settings.host, settings.tls_port), context=context)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; OSError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2_048)


def serve(app: Starlette, listeners: Listeners) -> None:
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
    Server(config, listeners).run(sockets=[listeners.plain])
