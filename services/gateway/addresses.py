"""Whom a request is counted for: the peer, or whoever a trusted proxy says it speaks for."""

import ipaddress
import re
from collections.abc import Sequence
from typing import TypeAlias

from starlette.requests import HTTPConnection

from libs.settings import parts_of

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX = 64  # one subscriber
# Some proxies add the port: 192.0.2.7:4711, [2001:db8::7]:4711.
WITH_PORT = re.compile(r"\[(?P<v6>[^]]+)\](?::\d+)?|(?P<v4>[0-9.]+):\d+")


class WrongNetwork(ValueError):
    """An entry of TRUSTED_PROXIES cannot be used; the text says why."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of "10.0.0.0/8,192.0.2.7,…", or raise WrongNetwork."""
    return tuple(parse_network(entry) for entry in parts_of(text))


def parse_network(entry: str) -> Network:
    """Return one network; one that holds everybody would let everybody choose an address."""
    try:
        network = ipaddress.ip_network(entry)
    except ValueError:
        raise WrongNetwork("every entry must be an address or a network such as 10.0.0.0/8") from None
    if network.prefixlen == 0:
        raise WrongNetwork("everybody cannot be trusted: name the addresses of your proxies")
    return network


def address_of(connection: HTTPConnection, trusted: Sequence[Network] = ()) -> str:
    """Return what a request is counted by: an IPv4 address, or the /64 of an IPv6 address.

    It is the peer's, unless the peer is a trusted proxy: then the right-most of X-Forwarded-For that is none. What
    stands further left was written by the client.
    """
    host = connection.client.host if connection.client else ""
    if (address := parsed(host)) is None:
        return host
    for hop in reversed(forwarded_for(connection)):
        if not is_within(address, trusted) or (before := parsed(hop)) is None:
            break
        address = before
    return subscriber(address)


def forwarded_for(connection: HTTPConnection) -> list[str]:
    """Return the hops of X-Forwarded-For in the order they were added."""
    return ",".join(connection.headers.getlist("x-forwarded-for")).split(",")


def parsed(text: str) -> Address | None:
    """Return the address a text is, an IPv4 address inside an IPv6 one by itself; None when it is no address."""
    bare = text.strip()
    if found := WITH_PORT.fullmatch(bare):
        bare = found["v6"] or found["v4"]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether the address is in one of the networks."""
    return any(address in network for network in networks)


def subscriber(address: Address) -> str:
    """Return the name of the smallest thing that one person is given."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
