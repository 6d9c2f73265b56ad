"""TikTok tells the gateway that an app was removed, and the connection knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from services.gateway.backends import Targets
from tests.fixtures_postgres import TemplateDatabase
from tests.fixtures_sandbox import SandboxProcess
from tests.gateway.served import Gateway, Suite, serve_gateway, sync_server
from tests.token.conftest import migrate_token
from tests.token.event_sender import login_header, removed
from tests.token.rpc_client import reference
from tests.token.shop_client import STORE, Shops, by_id, serving_shops

DISCONNECTED = token_pb2.CONNECTION_STATUS_DISCONNECTED
ACTIVE = token_pb2.CONNECTION_STATUS_ACTIVE


@dataclass
class House:
    """A token service and a gateway, told of by the sandbox."""

    shops: Shops
    gateway: Gateway
    sandbox: SandboxProcess
    dsn: str

    async def connect(self, code: str, account: str) -> token_pb2.Connection:
        link = await self.shops.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=token_pb2.PROVIDER_LOGIN_KIT,
                owner=token_pb2.Owner(kind=STORE, id=code),
                binding=token_pb2.LINK_BINDING_NONE,
            )
        )
        came_back = await asyncio.to_thread(self.sandbox.consent, link.authorize_url, account)
        request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        return (await self.shops.connections.CompleteAuthorization(request)).connection

    async def webhooks(self, *bodies: dict[str, object]) -> list[list[int]]:
        """Let the sandbox send webhooks; return the statuses each delivery was answered with."""
        sent = await self.control("POST", "/sandbox/webhooks", json=list(bodies))
        return await self.answered(sent["numbers"])

    async def remove(self, kind: str, name: str, **options: object) -> None:
        """Let an account or a seller remove the app, and wait until its webhooks are answered."""
        before = len(await self.deliveries())
        await self.control("POST", f"/sandbox/{kind}/{name}/revoke", json=options or None)
        numbers = [row["number"] for row in (await self.deliveries())[before:]]
        assert numbers
        assert all(answers == [200] for answers in await self.answered(numbers))

    async def answered(self, numbers: list[int]) -> list[list[int]]:
        async with asyncio.timeout(5):
            while True:
                rows = [row for row in await self.deliveries() if row["number"] in numbers]
                if all(row["attempts"] for row in rows):
                    return [[attempt.get("status", 0) for attempt in row["attempts"]] for row in rows]
                await asyncio.sleep(0.02)

    async def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.control("GET", "/sandbox/webhooks"))["deliveries"]
        return found

    async def control(self, method: str, path: str, **options: Any) -> Any:
        answer = await asyncio.to_thread(self.sandbox.control.request, method, path, **options)
        return answer.raise_for_status().json() if answer.content else None


@pytest.fixture
async def house(template_database: TemplateDatabase, sandbox: SandboxProcess) -> AsyncIterator[House]:
    """The services of this test, which the sandbox tells of removals while it lasts."""
    dsn = await template_database("token", migrate_token)
    async with serving_shops(dsn, sandbox) as shops, sync_server(Suite()) as sync:
        targets = Targets(token=shops.target, sync=f"127.0.0.1:{sync.port}")
        async with serve_gateway(Suite(), targets) as gateway:
            house = House(shops, gateway, sandbox, dsn)
            urls = {
                "webhook_url": f"{gateway.url}/webhooks/tiktok",
                "shop_webhook_url": f"{gateway.url}/webhooks/tiktok-shop",
            }
            await house.control("PATCH", "/sandbox/settings", json=urls)
            yield house
            await house.control("PATCH", "/sandbox/settings", json=dict.fromkeys(urls, ""))
            await house.control("DELETE", "/sandbox/webhooks")


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"


@asynccontextmanager
async def read_only(dsn: str) -> AsyncIterator[None]:
    """Let a database take nothing, as one does that lost its primary."""
    database = await asyncpg.connect(dsn)
    name = await database.fetchval("SELECT quote_ident(current_database())")
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await database.execute(f"{CUT} AND datname = current_database()")
    yield
    await database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await database.execute(f"{CUT} AND datname = current_database()")
    await database.close()


async def status(house: House, code: str) -> tuple[token_pb2.ConnectionStatus.ValueType, str]:
    request = token_pb2.GetConnectionRequest(connection=reference(code))
    connection = (await house.shops.connections.GetConnection(request)).connection
    return connection.status, connection.reason


async def test_a_person_who_removes_the_app_is_disconnected(house: House) -> None:
    account = house.sandbox.next_account()
    await house.connect("shop-1", account)

    await house.remove("accounts", account, reason=4)

    assert await status(house, "shop-1") == (DISCONNECTED, "account_banned")


async def test_a_seller_who_removes_the_app_is_disconnected_from_all_shops(house: House) -> None:
    seller = house.sandbox.next_seller(shops=3)
    connection = await house.shops.connect("shop-1", seller, kind=STORE)

    await house.remove("sellers", seller)

    assert (await house.shops.look(connection)).status == DISCONNECTED


async def test_an_announced_end_of_consent_is_noted(house: House) -> None:
    seller = house.sandbox.next_seller()
    connection = await house.shops.connect("user-1", seller)

    answers = await house.webhooks({"provider": "shop", "open_id": seller, "type": 7, "expires_in_seconds": 864_000})

    assert answers == [[200]]
    assert (await house.shops.look(connection)).reason == "expiring"


async def test_a_disconnected_account_connects_again_as_before(house: House) -> None:
    account = house.sandbox.next_account()
    before = await house.connect("shop-1", account)
    await house.remove("accounts", account)

    after = await house.connect("shop-1", account)

    assert (after.id, after.status, after.reason, after.epoch) == (before.id, ACTIVE, "", before.epoch + 2)
    request = token_pb2.GetValidTokenRequest(connection=by_id(after))
    assert (await house.shops.tokens.GetValidToken(request)).access_token


async def test_copies_are_all_taken_and_act_once(house: House) -> None:
    account = house.sandbox.next_account()
    before = await house.connect("shop-1", account)

    answers = await house.webhooks({"provider": "login", "open_id": account, "copies": 10})

    assert answers == [[200]] * 10
    assert (await house.shops.look(before)).epoch == before.epoch + 1


async def test_spoilt_late_and_stale_webhooks_change_nothing(house: House) -> None:
    account = house.sandbox.next_account()
    await house.connect("shop-1", account)
    usual = {"provider": "login", "open_id": account, "retry": False}

    answers = await house.webhooks(
        usual | {"signature": "wrong"},
        usual | {"signature": "absent"},
        usual | {"signed_age_seconds": 400},
        usual | {"raw": "not JSON"},
        usual | {"age_seconds": 3600},
        usual | {"event": "video.publish.completed", "content": {"share_id": "s"}},
    )

    assert answers == [[401], [401], [401], [400], [200], [200]]
    assert await status(house, "shop-1") == (ACTIVE, "")


async def test_fifty_at_once_over_http_act_once(house: House) -> None:
    before = await house.connect("shop-1", house.sandbox.next_account())
    body = removed(before.account_id)
    headers = {"TikTok-Signature": login_header(body)}

    answers = await asyncio.gather(
        *(house.gateway.client.post("/webhooks/tiktok", content=body, headers=headers) for _ in range(50))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert (await house.shops.look(before)).epoch == before.epoch + 1


async def test_an_event_is_kept_by_tiktok_while_storage_is_away(house: House) -> None:
    before = await house.connect("shop-1", house.sandbox.next_account())
    body = removed(before.account_id)
    headers = {"TikTok-Signature": login_header(body)}

    async with read_only(house.dsn):
        lost = await house.gateway.client.post("/webhooks/tiktok", content=body, headers=headers)
    assert lost.status_code == 503

    while (again := await house.gateway.client.post("/webhooks/tiktok", content=body, headers=headers)).is_error:
        assert again.status_code == 503  # until the service has found its database again
        await SystemClock().sleep(0.05)
    assert (await house.shops.look(before)).status == DISCONNECTED


async def test_nothing_of_a_body_is_logged_but_its_name(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    before = await house.connect("shop-1", house.sandbox.next_account())
    body = removed(before.account_id, marker="MARKED")
    headers = {"TikTok-Signature": login_header(body)}
    capfd.readouterr()

    await house.gateway.client.post("/webhooks/tiktok", content=body, headers=headers)

    logged = "".join(capfd.readouterr())
    assert "authorization.removed" in logged
    assert before.id in logged
    assert not [told for told in ("MARKED", before.account_id, headers["TikTok-Signature"]) if told in logged]
