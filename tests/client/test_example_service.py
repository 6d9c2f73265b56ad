"""The example of docs/client.md as a process, beside a real token service, its callers told apart by certificates."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.database.migrations import migrate
from libs.rpc.tls import TlsFiles
from services.token.__main__ import MIGRATIONS, SCHEMA
from tests.fixtures_postgres import TemplateDatabase
from tests.fixtures_sandbox import SandboxProcess
from tests.rpc.certified import HERE, Office
from tests.rpc.served_rpc import until
from tests.suite.local_suite import free_ports
from tests.token.rpc_client import STORE, reference
from tests.token.token_process import ROOT, TokenProcess, environment, running

READS = 'tokhub_rpc_calls_total{code="OK",method="/tokhub.token.v1.TokenService/GetValidToken"'


def tls(files: TlsFiles) -> dict[str, str]:
    return {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}


class Town:
    """A token service that can be restarted, the example as one of its readers, and an operator."""

    def __init__(self, dsn: str, sandbox: SandboxProcess, directory: Path) -> None:
        self.sandbox = sandbox
        self.office = Office(directory / "office")
        self.account = sandbox.next_account()
        port, self._metrics_port = free_ports(2)
        self.target = f"127.0.0.1:{port}"
        self.settings = {
            **environment(dsn, sandbox, directory / "journal"),
            **tls(self.office.files("svc/token", hosts=HERE)),
            "AUDIT_DIR": str(directory / "audit"),
            "TOKEN_LISTEN": self.target,
            "TOKEN_METRICS_PORT": str(self._metrics_port),
            "TOKEN_READERS": "followers",
        }
        self.example = httpx.AsyncClient()

    @asynccontextmanager
    async def token_service(self) -> AsyncIterator[TokenProcess]:
        async with running(self.settings) as process:
            yield process

    async def connect(self) -> None:
        async with self.office.channel(self.target, "operator/alice") as channel:
            stub = token_pb2_grpc.ConnectionServiceStub(channel)
            link = await stub.StartAuthorization(
                token_pb2.StartAuthorizationRequest(
                    provider=token_pb2.PROVIDER_LOGIN_KIT,
                    owner=token_pb2.Owner(kind=STORE, id="shop"),
                    binding=token_pb2.LINK_BINDING_NONE,
                )
            )
            back = await asyncio.to_thread(self.sandbox.consent, link.authorize_url, self.account)
            await stub.CompleteAuthorization(
                token_pb2.CompleteAuthorizationRequest(state=back["state"], code=back["code"])
            )

    async def refresh(self) -> None:
        async with self.office.channel(self.target, "operator/alice") as channel:
            await token_pb2_grpc.TokenServiceStub(channel).RefreshToken(
                token_pb2.RefreshTokenRequest(connection=reference("shop"), request_id="by-hand")
            )

    async def disconnect(self) -> None:
        async with self.office.channel(self.target, "operator/alice") as channel:
            await token_pb2_grpc.ConnectionServiceStub(channel).Disconnect(
                token_pb2.DisconnectRequest(connection=reference("shop"))
            )

    async def asked(self) -> tuple[int, dict[str, object]]:
        answer = await self.example.get("/followers/shop")
        return answer.status_code, answer.json()

    async def truth(self) -> tuple[int, dict[str, object]]:
        shown = await asyncio.to_thread(self.sandbox.control.get, f"/sandbox/truth/{self.account}")
        return 200, {"followers": shown.json()["user"]["follower_count"]}

    async def knows_its_token(self) -> bool:
        """Whether the example answers without asking the token service."""
        before = await self._reads()
        assert await self.asked() == await self.truth()
        return before > 0 and await self._reads() == before

    async def _reads(self) -> float:
        page = (await self.example.get(f"http://127.0.0.1:{self._metrics_port}/metrics")).text
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(READS))

    def refreshes(self) -> int:
        return int(self.sandbox.ledger(self.account)["refreshes"])


@asynccontextmanager
async def example_of(town: Town) -> AsyncIterator[None]:
    """The example, started as its documentation says."""
    port = free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "examples.followers:app", "--port", str(port), "--log-level", "warning"),
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "TOKEN_TARGET": town.target,
            "TIKTOK_API_BASE_URL": town.sandbox.url,
            **tls(town.office.files("svc/followers")),
        },
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as town.example:
            await answering(town.example)
            yield
    finally:
        process.terminate()
        await process.wait()


async def answering(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            await client.get("/openapi.json")
        except httpx.ConnectError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the example does not answer")


@pytest.fixture
async def town(template_database: TemplateDatabase, sandbox: SandboxProcess, tmp_path: Path) -> Town:
    return Town(await template_database("token", migrate_token), sandbox, tmp_path)


async def migrate_token(dsn: str) -> None:
    await migrate(dsn, MIGRATIONS, SCHEMA)


async def test_a_service_of_yours_lives_through_what_happens_to_a_token(town: Town) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(town.token_service())
        await stack.enter_async_context(example_of(town))
        assert (await town.asked())[0] == 404
        await town.connect()
        assert await town.asked() == await town.truth()

        town.sandbox.fault("access_token_invalid", town.account, endpoint="user")
        assert (await town.asked(), town.refreshes()) == (await town.truth(), 1)

        await town.refresh()
        assert (await town.asked(), town.refreshes()) == (await town.truth(), 2)

        assert await first.end() == 0
        during = asyncio.create_task(town.asked())
        await stack.enter_async_context(town.token_service())
        assert await during == await town.truth()

        await until(town.knows_its_token)
        await town.disconnect()
        began = time.monotonic()
        while (await town.asked())[0] == 200:
            assert time.monotonic() - began < 2
            await asyncio.sleep(0.05)
        assert (await town.asked())[0] == 409
