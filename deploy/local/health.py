"""Asks a program over its own port whether it is ready."""

import aiohttp
from grpc_health.v1 import health, health_pb2

from libs.errors import TokhubError
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates

PATIENCE = 2.0  # seconds


async def serves(target: str, certificates: Certificates) -> bool:
    """Return whether the gRPC service at host:port says that it serves."""
    async with open_channel(target, certificates=certificates) as channel:
        check = channel.unary_unary(
            f"/{health.SERVICE_NAME}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except TokhubError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


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
