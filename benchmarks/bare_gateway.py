"""What any gateway on this framework costs: FastAPI on the same server, the same calls over mTLS, and nothing else."""

import asyncio
from contextlib import AsyncExitStack

import grpc
from fastapi import FastAPI
from starlette.responses import JSONResponse
from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.logs import configure_logs
from libs.process import run
from libs.rpc.tls import channel_credentials
from libs.settings import load
from services.gateway.server import Listen, serve
from services.gateway.settings import GatewaySettings

PAGE = 500


class Stores:
    """One route."""

    def __init__(self, *, sync: grpc.aio.Channel, token: grpc.aio.Channel) -> None:
        self._stores = sync_pb2_grpc.StoreServiceStub(sync)
        self._connections = token_pb2_grpc.ConnectionServiceStub(token)

    async def get_store(self, store_code: str) -> JSONResponse:
        """Answer with as little as shows that both services did."""
        request = token_pb2.ListConnectionsRequest(
            page_size=PAGE, owner_kind=token_pb2.OWNER_KIND_STORE, owner_ids=[store_code]
        )
        found, page = await asyncio.gather(
            self._stores.GetStore(sync_pb2.GetStoreRequest(store_code=store_code)),
            self._connections.ListConnections(request),
        )
        return JSONResponse({"storeCode": found.store.store_code, "connections": len(page.connections)})


async def main(stop: asyncio.Event) -> None:
    """Serve with the gateway's settings until told to stop."""
    settings = load(GatewaySettings)
    configure_logs("bare", settings.log_level)
    certificates = settings.certificates(SystemClock())
    if certificates is None:
        raise SystemExit("TLS_CA, TLS_CERT and TLS_KEY are needed")
    credentials = channel_credentials(certificates.current())
    async with AsyncExitStack() as stack:
        sync = await stack.enter_async_context(grpc.aio.secure_channel(settings.sync_target, credentials))
        token = await stack.enter_async_context(grpc.aio.secure_channel(settings.token_target, credentials))
        app = FastAPI()
        app.add_api_route("/admin/stores/{store_code}", Stores(sync=sync, token=token).get_store)
        await serve(app, listen=Listen(host=settings.host, port=settings.port), stop=stop, farewell=0)


if __name__ == "__main__":
    run(main)
