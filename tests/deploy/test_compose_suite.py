"""The suite as docker-compose.yml starts it, from what the Dockerfile makes, end to end."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from deploy.local.person import Person
from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates, TlsFiles
from tests.deploy.containers import Containers

STORE = "compose_1"


class Operator:
    """Somebody with what `provision` has made for operators."""

    def __init__(self, suite: Containers) -> None:
        self.suite = suite
        handed = suite.map.volumes / "operator"
        files = TlsFiles(ca=handed / "ca.pem", certificate=handed / "cert.pem", key=handed / "key.pem")
        self._certificates = Certificates(files, SystemClock())
        key = (suite.map.volumes / "gateway" / "ADMIN_API_KEY").read_text(encoding="utf-8")
        self._headers = {"X-API-KEY": key}

    def gateway(self, port: int) -> str:
        return f"http://127.0.0.1:{self.suite.map.published(port)}"

    async def post(self, url: str, body: Mapping[str, Any], **headers: str) -> Any:
        async with (
            aiohttp.ClientSession(headers={**self._headers, **headers}) as session,
            session.post(url, json=body) as answer,
        ):
            assert answer.ok, await answer.text()
            return await answer.json()

    async def synced(self, url: str) -> bool:
        """Whether a store can be synced, asked again by somebody who is told to try again in a moment."""
        order = {"job": "user", "store_code": STORE}
        async with aiohttp.ClientSession(headers=self._headers) as session:
            for _ in range(20):
                async with session.post(url, json=order) as answer:
                    if answer.status != 503:
                        return bool((await answer.json())["success"])
                await asyncio.sleep(0.5)
        return False

    async def last_event(self, url: str) -> Any:
        """The last thing that a run's stream of events tells."""
        async with aiohttp.ClientSession(headers=self._headers) as session, session.get(url) as answer:
            assert answer.status == 200
            lines = (await answer.text()).splitlines()
        return json.loads([line for line in lines if line.startswith("data:")][-1].removeprefix("data:"))

    async def token(self, replica: str) -> token_pb2.GetValidTokenResponse:
        owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=STORE)
        whose = token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_LOGIN_KIT, owner=owner)
        connection = token_pb2.ConnectionReference(owner_connection=whose)
        target = f"dns://127.0.0.1:{self.suite.map.name_server}/{replica}:50051"
        async with open_channel(target, certificates=self._certificates) as channel:
            return await token_pb2_grpc.TokenServiceStub(channel).GetValidToken(
                token_pb2.GetValidTokenRequest(connection=connection)
            )


@pytest.mark.timeout(400)
async def test_the_composed_suite_serves_and_survives_one_of_each(suite: Containers) -> None:
    files = suite.image.files()
    operator = Operator(suite)
    first, second = operator.gateway(3000), operator.gateway(3001)
    store = {"store_code": STORE, "store_name": "Composed", "pic_name": "Somebody"}
    await operator.post(f"{first}/admin/stores", store)
    async with aiohttp.TCPConnector() as connector:
        await Person(gateway=first, connector=connector).connect(STORE, "store_0001")

    tokens = [(await operator.token(name)).access_token for name in ("token-1", "token-2")]
    assert tokens[0].startswith("act.")
    assert tokens[0] == tokens[1]
    run = await operator.post(f"{first}/admin/sync/run", {"job": "all"}, Prefer="respond-async")
    ended = await operator.last_event(f"{second}/admin/sync/runs/{run['data']['id']}/events")
    assert (ended["state"], ended["failed"], ended["videos"] > 0) == ("SUCCEEDED", 0, True)

    status, listed = await suite.run("operator", "tokhub", "stores", "list")
    assert (status, STORE in listed) == (0, True), listed

    await give_a_secret(suite)

    for name in ("token-1", "sync-1", "gateway-1"):
        suite.kill(name)
    assert await operator.synced(f"{second}/admin/sync/run")
    assert (await operator.token("token-2")).access_token == tokens[0]

    stopped = {name: await suite.stop(name) for name in reversed(list(suite.running))}
    assert set(stopped.values()) == {0}, stopped
    assert leaks(suite) == []
    assert suite.image.files() == files


async def give_a_secret(suite: Containers) -> None:
    """Somebody's own secret reaches whom it is for, and a misspelt one nobody."""
    give = ("python", "-m", "deploy.provision", "give")
    assert await suite.run("provision", *give, "TIKTOK_CLIENT_SECRET", given="of my own\n") == (0, "")
    assert (suite.map.volumes / "token" / "TIKTOK_CLIENT_SECRET").read_text() == "of my own"
    status, said = await suite.run("provision", *give, "TIKTOK_SECRET", given="misspelt")
    assert (status, said.startswith("No process has a secret TIKTOK_SECRET: choose one of")) == (1, True)


def leaks(suite: Containers) -> list[str]:
    """The secrets that stand in an environment or a log, by their files' names."""
    secrets = {path: path.read_text() for path in handed(suite.map.volumes)}
    told = [str(suite.map.environment(name)) for name in suite.compose.services]
    texts = [*told, *(log.read_text() for log in suite.logs.iterdir())]
    return [str(path) for path, secret in secrets.items() if secret and any(secret in text for text in texts)]


def handed(volumes: Path) -> list[Path]:
    return [path for path in (volumes / "authority").rglob("*") if path.is_file() and path.suffix != ".pem"]
