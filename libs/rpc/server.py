"""A gRPC server with health, reflection and the suite's interceptor, stopped without cutting calls off."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from libs.errors import ServerMisconfig
from libs.rpc.access import Access
from libs.rpc.bounds import MAX_MESSAGE_BYTES
from libs.rpc.gate import CertificateGate, Gate, LocalGate
from libs.rpc.health import Health
from libs.rpc.interceptor import CallInterceptor, RpcMetrics
from libs.rpc.listen import is_local
from libs.rpc.recording import Recorder
from libs.rpc.tls import server_credentials

MAX_METADATA_BYTES = 16 * 1024
# Calls at the same time on one connection; a gateway has its watchers on one, and a call that waits holds 10 KB.
MAX_STREAMS = 5_000
CHECK_EVERY = 2.0  # seconds between looks at what the service depends on
CHECK_TIMEOUT = 2.0  # seconds
GRACE = 10.0  # seconds that calls in flight have to end

Check = Callable[[], Awaitable[bool]]

log = structlog.get_logger()


def no_streams() -> None:
    """End nothing: every method ends by itself."""


@dataclass(frozen=True, kw_only=True)
class RpcService:
    """One proto service: its full name, how its servicer is added to a server, and what ends its endless streams.

    repeated names the methods that are asked again and again in the same words, none of which is secret.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    end_streams: Callable[[], None] = no_streams
    repeated: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What a process depends on, by name; each is also a name in its health service.

    Without what is apart a process serves on: it is told by its own name and figure, and has no say in the rest.
    """

    checks: Mapping[str, Check] = field(default_factory=dict)
    apart: Mapping[str, Check] = field(default_factory=dict)


class RpcServer:
    """Serves while its context is open; health says NOT_SERVING before a stream ends or a call is turned away.

    Without an access it serves in plaintext whoever reaches this machine's own addresses.
    """

    def __init__(
        self,
        *,
        listen: str,
        services: Sequence[RpcService],
        registry: CollectorRegistry,
        readiness: Readiness,
        access: Access | None = None,
    ) -> None:
        if access is None and not is_local(listen):
            raise ServerMisconfig(f"{listen} is not of this machine alone: calls need certificates there.")
        self.port = 0
        self._listen = listen
        self._services = services
        self._readiness = readiness
        self._access = access
        self._health = Health()
        repeated = [f"/{service.name}/{method}" for service in services for method in service.repeated]
        gate, recorder = guards_of(access)
        self._metrics = RpcMetrics(registry)
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(self._metrics, gate, recorder, repeated)],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                ("grpc.so_reuseport", 0),
            ],
        )

    async def __aenter__(self) -> Self:
        names = [service.name for service in self._services]
        for service in self._services:
            service.register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self.port = self._bind()
        await self._look()
        await self._server.start()
        self._looking = asyncio.create_task(self._keep_looking())
        log.info("serving", listen=self._listen, port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._looking.cancel()
        self._health.stop()
        # Watchers of health have its word on the wire before a stream breaks off under them.
        await asyncio.sleep(0)
        for service in self._services:
            service.end_streams()
        await self._server.stop(GRACE)
        log.info("stopped", listen=self._listen)

    def _bind(self) -> int:
        if self._access is None:
            log.warning("calls are not encrypted, and callers not told apart: set TLS_CA, TLS_CERT and TLS_KEY")
            return self._server.add_insecure_port(self._listen)
        return self._server.add_secure_port(self._listen, server_credentials(self._access.certificates))

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY)
            await self._look()

    async def _look(self) -> None:
        checks = {**self._readiness.checks, **self._readiness.apart}
        usable = {name: await passes(check) for name, check in checks.items()}
        for name, state in usable.items():
            self._metrics.usable.labels(name).set(state)
        overall = all(usable[name] for name in self._readiness.checks)
        self._health.tell({"": overall} | dict.fromkeys((service.name for service in self._services), overall) | usable)


def guards_of(access: Access | None) -> tuple[Gate, Recorder | None]:
    """Return who lets callers in, and who writes down what they do, if anybody."""
    if access is None:
        return LocalGate(), None
    gate = CertificateGate(access.policy)
    recorded = access.policy.recorded
    return gate, Recorder(gate=gate, recorded=recorded, trail=access.trail, denials=access.denials)


async def passes(check: Check) -> bool:
    """Return whether a dependency can be used; a check that fails or hangs says no."""
    try:
        return await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever a check raises means the same
        log.warning("dependency unusable", error=type(error).__name__)
        return False
