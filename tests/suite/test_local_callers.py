"""Who may call what in a suite that `make run` has started."""

import asyncio
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import NotAllowed
from tests.suite.local_suite import SERVING, Home, Suite, start

OWNER = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="store_0001")
ASKED = token_pb2.GetValidTokenRequest(
    connection=token_pb2.ConnectionReference(
        owner_connection=token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_LOGIN_KIT, owner=OWNER)
    )
)


async def length_of_token(home: Home, name: str) -> int:
    async with home.channel("TOKEN_LISTEN", name) as channel:
        return len((await token_pb2_grpc.TokenServiceStub(channel).GetValidToken(ASKED)).access_token)


async def refuses_plaintext(target: str) -> bool:
    channel: Any
    async with grpc.aio.insecure_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
    return caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def as_printed(home: Home, suite: Suite) -> str:
    """Run what the suite says to try with buf, as a shell does in the directory of the suite; return what it prints."""
    buf = Path(sys.executable).with_name("buf")
    lines = [line.strip() for line in suite.said if re.match(r"  (T=|\.venv/bin/buf )", line)]
    script = "\n".join(lines).replace(".venv/bin/buf", shlex.quote(str(buf)))
    process = await asyncio.create_subprocess_exec(
        *(str(shutil.which("sh")), "-euc", script), cwd=home.path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_everybody_gets_what_the_policy_gives_and_no_more(home: Home) -> None:
    async with start(home, STORES="1", TOKEN_READERS="reports") as suite:
        await suite.until(SERVING)
        assert await length_of_token(home, "operator") > 0
        assert await length_of_token(home, "sync") > 0
        assert await length_of_token(home, "reports") > 0
        with pytest.raises(NotAllowed, match="svc/gateway may not call"):
            await length_of_token(home, "gateway")
        for listen in ("TOKEN_LISTEN", "SYNC_LISTEN"):
            assert await refuses_plaintext(f"127.0.0.1:{home.ports[listen]}")
        assert '"state": "RUN_STATE_SUCCEEDED"' in await as_printed(home, suite)
        assert await recorded(home, "TOKEN_LISTEN") == [
            ("operator/local", "GetValidToken", "OK"),
            ("svc/gateway", "GetValidToken", "DENIED"),
        ]
        assert await recorded(home, "SYNC_LISTEN") == [
            ("svc/gateway for key/admin", "CreateStore", "OK"),
            ("operator/local", "StartSync", "OK"),
            ("operator/local", "RunSync", "OK"),
        ]


async def recorded(home: Home, listen: str) -> list[tuple[str, str, str]]:
    """Return who did what and what came of it, as the service tells an operator, the first call first."""
    async with home.channel(listen) as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        records = (await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest())).records
    return [(record.actor, record.method.rpartition("/")[2], record.outcome) for record in reversed(records)]


async def test_a_new_start_lets_its_own_machine_in_again(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        guesses = [await answered(home, {"X-API-KEY": "x" * 40}) for _ in range(5)]
        assert (guesses, await answered(home, home.admin_headers)) == ([401] * 5, 429)
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        assert await answered(home, home.admin_headers) == 200


async def answered(home: Home, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(base_url=home.gateway, headers=headers) as client:
        return (await client.get("/admin/stores")).status_code
