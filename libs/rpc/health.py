"""The health service of a gRPC server, whose watchers are let go at a stop instead of holding it up."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from libs.rpc.identity import Context

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
EVERYTHING = ""  # grpc.health's name for the whole process


async def serves(channel: grpc.aio.Channel, part: str = EVERYTHING, *, patience: float) -> bool:
    """Return whether a service, or a part of it, says within so many seconds that it can be used."""
    check = channel.unary_unary(
        f"/{health.SERVICE_NAME}/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer = await check(health_pb2.HealthCheckRequest(service=part), timeout=patience)
    return bool(answer.status == SERVING)


class Health(health_pb2_grpc.HealthServicer):
    """States by name; the servicer of grpc-health-checking keeps its watchers until the server cuts them off."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._stopping = False
        self._changed = asyncio.Event()

    def tell(self, serving: Mapping[str, bool]) -> None:
        """Answer with these states from now on; after stop nothing serves any more."""
        self._serving = {name: state and not self._stopping for name, state in serving.items()}
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Say that nothing serves any more, to watchers as their last word."""
        self._stopping = True
        self.tell(self._serving)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Return the state of a name; NOT_FOUND for one that is not listed."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tell the state of a name, and each other state that it comes to have."""
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
            told = status
            if self._stopping:
                return
            await changed.wait()

    def _status(self, name: str) -> int:
        if name not in self._serving:
            return SERVICE_UNKNOWN
        return SERVING if self._serving[name] else NOT_SERVING
