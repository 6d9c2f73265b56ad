"""The token service with floors beside it: its own composition, and methods that do nothing behind its interceptor.

The floors are an empty call on the service's own server, and one on a bare gRPC server of the same process. The third
addition is GetValidToken over a read cache that hears of no changes and so serves nothing: it always reads the row.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import grpc
from google.protobuf.empty_pb2 import Empty
from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.logs import configure_logs
from libs.process import run
from libs.rpc.server import RpcService
from libs.settings import load
from services.token import __main__ as service
from services.token.adapters.connections import PostgresConnections
from services.token.composition import Core, Grounds, build_core, proto_services
from services.token.core.cache import ReadCache
from services.token.core.tokens import Tokens
from services.token.core.vault import Vault
from services.token.servicers.token import TokenServicer
from services.token.settings import TokenSettings

FLOOR = "tokhub.benchmarks.Floor"
EMPTY, READ = f"/{FLOOR}/Empty", f"/{FLOOR}/ReadToken"


async def do_nothing(request: Empty, context: object) -> Empty:
    """Return at once."""
    del context
    return request


def empty_method() -> "grpc.RpcMethodHandler[Empty, Empty]":
    """Return the handler of the empty method."""
    return grpc.unary_unary_rpc_method_handler(
        do_nothing, request_deserializer=Empty.FromString, response_serializer=Empty.SerializeToString
    )


class Floors:
    """What is added to the service: noted while its core is built, and registered on its server."""

    _uncached: TokenServicer

    def build_core(self, settings: TokenSettings, grounds: Grounds) -> Core:
        """Return the service's core, having built a second way to its tokens."""
        core = build_core(settings, grounds)
        tokens = Tokens(
            connections=PostgresConnections(pool=grounds.pool, replica=grounds.replica),
            cache=ReadCache(clock=SystemClock()),
            refresher=core.refreshing.refresher,
            vault=Vault(grounds.ring),
        )
        self._uncached = TokenServicer(
            tokens=tokens,
            batch=core.reading.batch,
            refresh_all=core.refreshing.refresh_all,
            watch=core.reading.watch,
        )
        return core

    def proto_services(self, core: Core) -> Sequence[RpcService]:
        """Return the service's proto services and the floors."""
        return [*proto_services(core), RpcService(name=FLOOR, register=self._register)]

    def _register(self, server: grpc.aio.Server) -> None:
        read = grpc.unary_unary_rpc_method_handler(
            self._uncached.GetValidToken,
            request_deserializer=token_pb2.GetValidTokenRequest.FromString,
            response_serializer=token_pb2.GetValidTokenResponse.SerializeToString,
        )
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Empty": empty_method(), "ReadToken": read}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(FLOOR, methods),))


async def serve(settings: TokenSettings, stop: asyncio.Event) -> None:
    """Run the service and the bare server until told to stop."""
    floors, bare = Floors(), grpc.aio.server()
    bare.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(FLOOR, {"Empty": empty_method()}),))
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    print(json.dumps({"msg": "bare", "port": port}), flush=True)
    with patch.multiple(service, build_core=floors.build_core, proto_services=floors.proto_services):
        await service.serve(settings, stop)
    await bare.stop(None)


if __name__ == "__main__":
    chosen = load(TokenSettings)
    configure_logs("token", chosen.log_level)
    run(lambda stop: serve(chosen, stop))
