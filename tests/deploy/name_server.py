"""Tells the addresses of containers by name, as Docker's own name server does."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

HEADER = 12
ANSWERS = 0x8180
ADDRESS, INTERNET = 1, 1


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for IPv4 addresses, and any other with nothing."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._addresses = addresses
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        end = data.index(0, HEADER) + 1
        (kind,) = struct.unpack_from(">H", data, end)
        found = self._addresses.get(named(data[HEADER:end]), ()) if kind == ADDRESS else ()
        head = data[:2] + struct.pack(">HHHHH", ANSWERS, 1, len(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", ADDRESS, INTERNET, 1, 4)
        answers = b"".join(record + ipaddress.IPv4Address(address).packed for address in found)
        self._transport.sendto(head + data[HEADER : end + 4] + answers, peer)


def named(labels: bytes) -> str:
    """The name that a question asks for."""
    parts, at = [], 0
    while labels[at]:
        parts.append(labels[at + 1 : at + 1 + labels[at]].decode("ascii"))
        at += labels[at] + 1
    return ".".join(parts).lower()


@asynccontextmanager
async def name_server(addresses: Mapping[str, Sequence[str]]) -> AsyncIterator[int]:
    """The port of a server on this machine that knows the names."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(addresses), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
