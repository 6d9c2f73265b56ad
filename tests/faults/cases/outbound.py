"""Faults of whom the services call: addresses in settings, proxies in the environment, addresses in what they read."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.settings import EX_CONFIG, ServiceSettings, WrongSetting, parse
from services.gateway.settings import GatewaySettings
from services.sync.settings import SyncSettings
from services.token.settings import TokenSettings
from tests.faults.case import case, expect
from tests.faults.cases.starting import refused_start
from tests.faults.front import Front, front
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.lab import Lab
from tests.faults.products import reference
from tests.faults.runs import connect_stores, end_of, told
from tests.faults.upstream import ask_all, tally

ADDRESSES: Mapping[type[ServiceSettings], tuple[str, ...]] = {
    TokenSettings: (
        "TIKTOK_LOGIN_AUTHORIZE_URL",
        "TIKTOK_API_BASE_URL",
        "TIKTOK_SHOP_AUTHORIZE_URL",
        "TIKTOK_SHOP_TOKEN_BASE_URL",
        "TIKTOK_SHOP_API_BASE_URL",
    ),
    SyncSettings: ("TIKTOK_API_BASE_URL",),
    GatewaySettings: ("USER_JWKS_URL",),
}
STRANGE = (
    "http://169.254.169.254",
    "http://10.0.0.5:8400",
    "http://[fd00::1]",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://2130706433",
    "http://127.0.0.1@evil.example",
    "https://user:password@open.tiktokapis.com",
    "https://open.tiktokapis.com#@evil.example",
    "https://open.tiktokapis.com\n.evil.example",
    "https://evil.example open.tiktokapis.com",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://127.0.0.1/keys",
    "unix:///run/docker.sock",
    "//evil.example",
    "evil.example",
    "https://",
    "http://127.0.0.1:0",
    "http://127.0.0.1:x",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = json.dumps({"keys": [{**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "one"}]})


def user_headers(**header: str) -> dict[str, str]:
    """Return what a user's request has; header is what the token says of its key."""
    claims = {"sub": "creator-1", "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY, 'ES256', headers=header)}"}


@case(
    "S18 settings",
    fault="addresses of TikTok and of users' keys set to other machines over http, other schemes, with users or breaks",
    expected="exit 78 and one line that names the variable and not the value; nothing is called",
)
async def strange_settings(lab: Lab) -> str:
    right = await lab.replica()
    bases: dict[type[ServiceSettings], Mapping[str, str]]
    bases = {TokenSettings: right.environ, SyncSettings: {"DATABASE_URL": lab.dsn}}
    bases[GatewaySettings] = {"ADMIN_API_KEY": "k" * 48}
    expect(not any(problem_of(kind, base) for kind, base in bases.items()), "right settings are refused")
    count = 0
    for kind, names in ADDRESSES.items():
        for name in names:
            for value in STRANGE:
                refused = problem_of(kind, {**bases[kind], name: value})
                expect(refused.startswith(f"{name}: ") and value not in refused, f"{name}={value!r}: {refused!r}")
                count += 1
    strange = lab.prepared("strange", TIKTOK_API_BASE_URL=STRANGE[0])
    status, said = await refused_start(strange)
    lab.replicas.remove(strange)
    expect(status == EX_CONFIG and said[0].startswith("tokhub cannot start: TIKTOK_API_BASE_URL: "), (status, said))
    return f"{count} addresses refused; {said[0]}"


def problem_of(kind: type[ServiceSettings], environ: Mapping[str, str]) -> str:
    """Return why settings are refused, empty when they are not."""
    try:
        parse(kind, environ)
    except WrongSetting as refused:
        return str(refused)
    return ""


@dataclass
class Publisher:
    """Where users' keys are; what it answers, and how often it was asked."""

    answer: bytes = KEYS.encode()
    head: str = "HTTP/1.1 200 OK"
    url: str = ""
    visits: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.visits += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            head = f"{self.head}\r\nContent-Length: {len(self.answer)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + self.answer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def publishing() -> AsyncIterator[Publisher]:
    """Publish users' keys on this machine."""
    publisher = Publisher()
    server = await asyncio.start_server(publisher.talk, "127.0.0.1", 0)
    async with server:
        publisher.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        yield publisher


async def everything_works(lab: Lab, gateway: GatewayReplica) -> str:
    """Connect, refresh, sync and disconnect stores, and let a user in; return how it went."""
    replica, sync = lab.replicas[0], lab.syncs[0]
    await connect_stores(lab, sync, "shop-1", "shop-2")
    await lab.connect_seller(replica, "seller-1")
    await lab.expire()
    outcomes = await ask_all(replica, ("shop-1", "shop-2", "seller-1"))
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    run = await end_of(lab, await sync.begin(sync_pb2.JOB_ALL))
    expect(run["succeeded"] == 2, told(run))
    lab.allowed.ended.add("shop-2")
    gone = await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-2")))
    expect(gone.revocation == token_pb2.REVOCATION_DONE, gone.revocation)
    await lets_in(gateway)
    return f"{tally(outcomes)}; {told(run)}; revoked, a user let in"


async def lets_in(gateway: GatewayReplica) -> None:
    """Expect that a user whose key is published is let in."""
    path = "/api/v1/integrations/tiktok/status/creator-1"
    answer = await gateway.visitor(**user_headers(kid="one")).get(path)
    expect(answer.status_code == 200, f"{answer.status_code} {answer.text}")


@case(
    "S18 proxies",
    fault="proxies in the environment of all three services, by every name that libraries read",
    expected="consents, refreshes, syncs, revocations, users' keys and calls between the services never go there",
)
async def proxies(lab: Lab) -> str:
    async with front() as trap, publishing() as publisher:
        environ = {**dict.fromkeys(PROXIES, trap.url), "no_proxy": "", "NO_PROXY": ""}
        lab.certify()
        await lab.replica(**environ)
        await lab.sync(**environ)
        gateway = await lab.gateway(USER_JWT_SECRET="", USER_JWKS_URL=publisher.url, **environ)
        seen = await everything_works(lab, gateway)
        expect(trap.visits == 0, f"{trap.visits} calls through the proxy: {bytes(trap.heard[:200])!r}")
    return f"{seen}; 0 calls through {len(PROXIES)} variables"


@case(
    "S18 read",
    fault="addresses in what is read: pictures and links of TikTok, keys named by a user's token, keys that moved",
    expected="they are stored or ignored as text, and nobody is called there",
)
async def addresses_read(lab: Lab) -> str:
    async with front() as trap, publishing() as publisher:
        lab.certify()
        await lab.replica()
        sync = await lab.sync()
        gateway = await lab.gateway(USER_JWT_SECRET="", USER_JWKS_URL=publisher.url)
        await connect_stores(lab, sync, "shop-1")
        lab.allowed.bent.add("shop-1")
        stored = await pictures(lab, gateway, trap)
        refused = [await named(gateway, trap, header) for header in ("jku", "x5u", "kid")]
        moved = await keys_moved(lab, publisher, trap)
        expect(trap.visits == 0, f"{trap.visits} calls elsewhere: {bytes(trap.heard[:200])!r}")
    return f"avatar stored as {stored!r}; {refused} for keys elsewhere, {moved} for keys that moved; 0 calls there"


async def pictures(lab: Lab, gateway: GatewayReplica, trap: Front) -> str:
    """Let TikTok name another place for pictures and links; return what is stored of an account's."""
    user: dict[str, Any] = {f"/data/user/{name}": f"{trap.url}/{name}" for name in ("avatar_url", "profile_deep_link")}
    names = ("cover_image_url", "share_url", "embed_link")
    videos: dict[str, Any] = {f"/data/videos/*/{name}": f"{trap.url}/{name}" for name in names}
    await lab.fault("field", "shop-1", endpoint="user", set=user, count=None)
    await lab.fault("field", "shop-1", endpoint="video", set=videos, count=None)
    run = await end_of(lab, await lab.syncs[0].begin(sync_pb2.JOB_ALL))
    expect(run["succeeded"] == 1, told(run))
    shown = (await gateway.admin.get("/admin/stores/shop-1/user-stats")).json()["data"][0]["avatarUrl"]
    expect(shown == f"{trap.url}/avatar_url", shown)
    return str(shown).replace(trap.url, "…")


async def named(gateway: GatewayReplica, trap: Front, header: str) -> int:
    """Return how a token is answered that names its own keys."""
    told = user_headers(**{"kid": "two", header: f"{trap.url}/keys"})
    return (await gateway.visitor(**told).get("/api/v1/integrations/tiktok/status/creator-1")).status_code


async def keys_moved(lab: Lab, publisher: Publisher, trap: Front) -> int:
    """Return how a user is answered whose keys are said to be elsewhere."""
    publisher.head, publisher.answer = f"HTTP/1.1 302 Found\r\nLocation: {trap.url}/keys", b""
    gateway = await lab.gateway("moved", USER_JWT_SECRET="", USER_JWKS_URL=publisher.url)
    path = "/api/v1/integrations/tiktok/status/creator-1"
    return (await gateway.visitor(**user_headers(kid="one")).get(path)).status_code
