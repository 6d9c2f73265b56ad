"""A channel that goes on with new certificates: calls begin on the newest connection and end where they began."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

from libs.rpc.tls import Certificates, Material

Connect = Callable[[Material], grpc.aio.Channel]


class RenewingChannel(grpc.aio.Channel):
    """Connects anew when the certificates have changed.

    The connection before stays for the streams that are on it until the next change, which cuts off those still there.
    """

    def __init__(self, certificates: Certificates, connect: Connect) -> None:
        self._certificates = certificates
        self._connect = connect
        self._material = certificates.current()
        self._channel = connect(self._material)
        self._before: grpc.aio.Channel | None = None
        self._closing: asyncio.Task[None] | None = None

    def newest(self) -> grpc.aio.Channel:
        """Return the channel of the certificates that are valid now."""
        material = self._certificates.current()
        if material is not self._material:
            if self._before is not None:
                self._closing = asyncio.create_task(self._before.close())
            self._before, self._material = self._channel, material
            self._channel = self._connect(material)
        return self._channel

    async def close(self, grace: float | None = None) -> None:
        """Close all connections; grace is in seconds."""
        if self._before is not None:
            await self._before.close(grace)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the newest connection."""
        return self.newest().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the newest connection is in another state."""
        await self.newest().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the newest connection stands."""
        await self.newest().channel_ready()

    def unary_unary(self, method: str, *codec: Any, **named: Any) -> Any:
        """Return a method with one request and one answer."""
        return Renewed(self, lambda channel: channel.unary_unary(method, *codec, **named))

    def unary_stream(self, method: str, *codec: Any, **named: Any) -> Any:
        """Return a method with one request and many answers."""
        return Renewed(self, lambda channel: channel.unary_stream(method, *codec, **named))

    def stream_unary(self, method: str, *codec: Any, **named: Any) -> Any:
        """Return a method with many requests and one answer."""
        return Renewed(self, lambda channel: channel.stream_unary(method, *codec, **named))

    def stream_stream(self, method: str, *codec: Any, **named: Any) -> Any:
        """Return a method with many requests and many answers."""
        return Renewed(self, lambda channel: channel.stream_stream(method, *codec, **named))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Renewed:
    """A method of whichever connection is the newest."""

    def __init__(self, owner: RenewingChannel, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._owner = owner
        self._make = make
        self._channel = owner.newest()
        self._method = make(self._channel)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Begin a call."""
        newest = self._owner.newest()
        if newest is not self._channel:
            self._channel, self._method = newest, self._make(newest)
        return self._method(*arguments, **named)
