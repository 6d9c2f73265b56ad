"""A token service that is told to stop while streams are open and refreshes on their way."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import UpstreamUnavailable
from libs.rpc.client import open_channel
from libs.rpc.server import GRACE
from tests.fixtures_sandbox import SandboxProcess
from tests.rpc.served_rpc import until
from tests.token.test_token_processes import ask, connect, expire_all
from tests.token.token_process import TokenProcess, environment, running

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CODES = [f"shop-{number}" for number in range(3)]
SLOW = 2.0  # seconds TikTok takes, which the stop falls into


class Listener:
    """Streams of one caller; heard is how they ended, in that order."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.tokens = token_pb2_grpc.TokenServiceStub(channel)
        self.heard: list[str] = []
        self.health_ended = False
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    async def listen_to_health(self) -> None:
        async for answer in self._health.Watch(health_pb2.HealthCheckRequest()):
            if answer.status == NOT_SERVING:
                self.heard.append("not serving")
        self.health_ended = True

    async def listen(self, stream: AsyncIterable[Any], begun: asyncio.Event | None = None) -> None:
        try:
            async for _ in stream:
                if begun:
                    begun.set()
        except UpstreamUnavailable as error:
            self.heard.append(error.message.partition(": ")[2])

    async def open_all(self) -> list[asyncio.Task[None]]:
        """Return streams that have begun: of health, of tokens, and of a refresh of all."""
        begun = asyncio.Event()
        streams = [
            self.listen_to_health(),
            self.listen(self.tokens.WatchTokens(token_pb2.WatchTokensRequest()), begun),
            self.listen(self.tokens.RefreshAll(token_pb2.RefreshAllRequest(force=True))),
        ]
        tasks = [asyncio.create_task(stream) for stream in streams]
        await begun.wait()
        return tasks


async def connect_expired(service: TokenProcess, dsn: str, sandbox: SandboxProcess, *codes: str) -> list[str]:
    """Connect stores whose tokens have ended and whose refreshes are slow; return their accounts."""
    accounts = [await connect(service, sandbox, code) for code in codes]
    await expire_all(dsn)
    for account in accounts:
        sandbox.fault("slow", account, endpoint="token", seconds=SLOW)
    return accounts


async def until_presented(sandbox: SandboxProcess, accounts: list[str], count: int) -> None:
    """Wait until TikTok has been given the refresh tokens of so many."""

    async def presented() -> bool:
        grants = [sandbox.ledger(account)["grants"][0] for account in accounts]
        return [grant["refreshes"] for grant in grants].count(1) == count

    await until(presented)


async def test_a_stop_ends_streams_and_lands_what_is_in_the_air(token_dsn: str, sandbox: SandboxProcess) -> None:
    environ = environment(token_dsn, sandbox) | {"REFRESH_CONCURRENCY": "1"}
    async with running(environ) as service, open_channel(service.target) as channel:
        accounts = await connect_expired(service, token_dsn, sandbox, *CODES)
        listener = Listener(channel)
        streams = await listener.open_all()
        asking = asyncio.create_task(ask(service, CODES[-1], 1))
        await until_presented(sandbox, accounts, len(CODES) - 1)

        async with asyncio.timeout(GRACE):
            status = await service.end()
        await asyncio.wait_for(asyncio.gather(*streams), 1)
        answered = (await asking)[0].generation

    async with running(environ) as again:
        found = [(await ask(again, code, 1))[0].generation for code in CODES]
    assert (status, listener.health_ended, answered) == (0, True, 2)
    assert listener.heard == [
        "not serving",
        "watch again after the last event you have.",
        "ask again for those that are left.",
    ]
    grants = [sandbox.ledger(account)["grants"][0] for account in accounts]
    assert [(grant["refreshes"], grant["dead_refresh_tokens_presented"]) for grant in grants] == [(1, 0)] * 3
    assert found == [2, 2, 2]


async def test_a_refresh_that_nobody_waits_for_lands_too(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with running(environment(token_dsn, sandbox)) as service:
        accounts = await connect_expired(service, token_dsn, sandbox, "shop-1")
        asking = asyncio.create_task(ask(service, "shop-1", 1))
        await until_presented(sandbox, accounts, 1)
        asking.cancel()
        await asyncio.wait({asking})
        status = await service.end()

    async with running(environment(token_dsn, sandbox)) as again:
        answer = (await ask(again, "shop-1", 1))[0]
    grant = sandbox.ledger(accounts[0])["grants"][0]
    assert (status, answer.generation, grant["refreshes"]) == (0, 2, 1)
