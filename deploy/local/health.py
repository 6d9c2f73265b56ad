"""Asks a program over its own port whether it is ready."""

import aiohttp

from libs.errors import TokhubError
from libs.rpc import health
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates

PATIENCE = 2.0  # seconds


async def serves(target: str, certificates: Certificates) -> bool:
    """Return whether the gRPC service at host:port says that it serves."""
    async with open_channel(target, certificates=certificates) as channel:
        try:
            return await health.serves(channel, patience=PATIENCE)
        except TokhubError:
            return False


async def answers(url: str) -> bool:
    """Return whether a GET of the URL answers 200."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session,
            session.get(url) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
