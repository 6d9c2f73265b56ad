"""Channels between the services: request id on, a deadline on, errors back as they were raised."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from libs.rpc import actor
from libs.rpc.actor import BACKGROUND, current_actor
from libs.rpc.bounds import MAX_MESSAGE_BYTES
from libs.rpc.renewing import RenewingChannel
from libs.rpc.request_id import METADATA_KEY, current_request_id
from libs.rpc.status import from_rpc_error
from libs.rpc.tls import Certificates, Material, channel_credentials
from libs.rpc.traced import TracedStream, TracedUnary
from libs.tracing import is_tracing

MAX_ERROR_BYTES = 64 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # What an error says comes in its trailers: gRPC itself drops an error now and then from 8 KiB on.
    ("grpc.max_metadata_size", MAX_ERROR_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_ERROR_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A peer that restarts is found again within a second, not after gRPC's two minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A proxy of the environment is for other calls than those between the services.
    ("grpc.enable_http_proxy", 0),
)
# A name with several addresses is several replicas: each has its part of the calls, and a dead one none.
SPREAD = '{"loadBalancingConfig":[{"round_robin":{}}]}'
# All calls go to one replica for as long as it is there.
TOGETHER = '{"loadBalancingConfig":[{"pick_first":{}}]}'

Details = grpc.aio.ClientCallDetails
Continuation = Callable[[Details, Any], Any]


def accompany(details: Details, timeout: float | None) -> Details:
    """Return the call's details with the request id of this task, who asked for it, and a deadline in seconds."""
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    request_id, asked_by = current_request_id(), current_actor()
    if request_id and metadata.get(METADATA_KEY) is None:
        metadata.add(METADATA_KEY, request_id)
    if asked_by != BACKGROUND:
        metadata.add(actor.METADATA_KEY, asked_by)
    return Details(
        method=details.method,
        timeout=details.timeout or timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class UnaryInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """For calls with one answer."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def intercept_unary_unary(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Return the answer, or raise the error that the server raised."""
        call = await continuation(accompany(details, self._timeout), request)
        try:
            return await call
        except grpc.aio.AioRpcError as failure:
            raise from_rpc_error(failure) from None


class StreamInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """For calls with a stream of answers; a stream has no deadline unless its caller sets one."""

    async def intercept_unary_stream(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Return the answers.

        Leaving the iteration ends nothing, because grpc.aio holds on to the call: who leaves early calls its cancel().
        """
        call = await continuation(accompany(details, None), request)
        return self._answers(call)

    async def _answers(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as failure:
            raise from_rpc_error(failure) from None


def open_channel(target: str, *, timeout: float = 30.0, certificates: Certificates | None = None) -> grpc.aio.Channel:
    """Return a channel to a service, in plaintext without certificates.

    The timeout is in seconds and holds for unary calls that set none.
    """

    def connect(material: Material | None) -> grpc.aio.Channel:
        return connected(target, material, timeout=timeout, balancing=SPREAD)

    return connect(None) if certificates is None else RenewingChannel(certificates, connect)


def open_pinned(target: str, *, timeout: float = 30.0, certificates: Certificates | None = None) -> grpc.aio.Channel:
    """Return a channel whose calls never part: one replica, and the certificates that are valid when it is opened."""
    material = None if certificates is None else certificates.current()
    return connected(target, material, timeout=timeout, balancing=TOGETHER)


def connected(target: str, material: Material | None, *, timeout: float, balancing: str) -> grpc.aio.Channel:
    """Return a channel of gRPC itself with our interceptors."""
    traced = [TracedUnary(), TracedStream()] if is_tracing() else []
    interceptors = [UnaryInterceptor(timeout), StreamInterceptor(), *traced]
    options = [*OPTIONS, ("grpc.service_config", balancing)]
    if material is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, channel_credentials(material), options=options, interceptors=interceptors)
