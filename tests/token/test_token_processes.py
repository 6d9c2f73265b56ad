"""Token services as processes: several of them, ended, and started wrongly."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import ReauthRequired
from libs.rpc.client import open_channel
from tests.fixtures_postgres import TemplateDatabase
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import migrate_token
from tests.token.token_process import FREE_DISK, FULL_DISK, KEY_HEX, TokenProcess, environment, launch, running


def owner(code: str) -> token_pb2.ConnectionReference:
    return token_pb2.ConnectionReference(
        owner_connection=token_pb2.OwnerConnection(
            provider=token_pb2.PROVIDER_LOGIN_KIT, owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code)
        )
    )


async def connect(service: TokenProcess, sandbox: SandboxProcess, code: str) -> str:
    """Connect a store as a person would; return the account it has now."""
    account = sandbox.next_account()
    async with open_channel(service.target) as channel:
        stub = token_pb2_grpc.ConnectionServiceStub(channel)
        started = await stub.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=token_pb2.PROVIDER_LOGIN_KIT,
                owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code),
                binding=token_pb2.LINK_BINDING_NONE,
            )
        )
        came_back = await asyncio.to_thread(sandbox.consent, started.authorize_url, account)
        await stub.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        )
    return account


async def ask(service: TokenProcess, code: str, callers: int) -> list[token_pb2.GetValidTokenResponse]:
    async with open_channel(service.target) as channel:
        stub = token_pb2_grpc.TokenServiceStub(channel)
        request = token_pb2.GetValidTokenRequest(connection=owner(code))
        return list(await asyncio.gather(*(stub.GetValidToken(request) for _ in range(callers))))


async def run_sql(dsn: str, statement: str) -> None:
    database = await asyncpg.connect(dsn)
    await database.execute(statement)
    await database.close()


async def expire_all(dsn: str) -> None:
    await run_sql(dsn, "UPDATE credentials.connections SET access_expires_at = clock_timestamp()")


async def test_three_replicas_answer_300_callers_with_one_refresh(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with AsyncExitStack() as stack:
        environ = environment(token_dsn, sandbox)
        replicas = await asyncio.gather(*(stack.enter_async_context(running(environ)) for _ in range(3)))
        account = await connect(replicas[0], sandbox, "shop-1")
        await expire_all(token_dsn)

        answers = [one for many in await asyncio.gather(*(ask(one, "shop-1", 100) for one in replicas)) for one in many]

    assert (len(answers), len({answer.access_token for answer in answers})) == (300, 1)
    assert {answer.freshness for answer in answers} == {token_pb2.FRESHNESS_FRESH}
    grant = sandbox.ledger(account)["grants"][0]
    assert (grant["refreshes"], grant["dead_refresh_tokens_presented"]) == (1, 0)


async def test_a_refresh_on_its_way_lands_before_the_process_ends(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with running(environment(token_dsn, sandbox)) as service:
        account = await connect(service, sandbox, "shop-1")
        await expire_all(token_dsn)
        sandbox.fault("slow", account, endpoint="token", seconds=1)
        asking = asyncio.create_task(ask(service, "shop-1", 1))
        await asyncio.sleep(0.4)

        status = await service.end()
        await asyncio.gather(asking, return_exceptions=True)

    async with running(environment(token_dsn, sandbox)) as again:
        answer = (await ask(again, "shop-1", 1))[0]
    assert (status, answer.generation) == (0, 2)


async def test_a_process_killed_before_it_could_save_loses_nothing(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    environ = environment(token_dsn, sandbox, tmp_path)
    async with running(environ) as service:
        account = await connect(service, sandbox, "shop-1")
        await expire_all(token_dsn)
        await run_sql(token_dsn, FULL_DISK)
        answered = await ask(service, "shop-1", 5)
        service.process.kill()
    await run_sql(token_dsn, FREE_DISK)

    async with running(environ) as heir:
        found = await ask(heir, "shop-1", 1)

    assert {answer.access_token for answer in answered} == {found[0].access_token}
    grant = sandbox.ledger(account)["grants"][0]
    assert (grant["refreshes"], grant["dead_refresh_tokens_presented"]) == (1, 0)


async def test_a_process_killed_while_tiktok_answers_is_found_out_and_named(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    environ = environment(token_dsn, sandbox, tmp_path)
    async with running(environ) as service:
        account = await connect(service, sandbox, "shop-1")
        await expire_all(token_dsn)
        sandbox.fault("slow", account, endpoint="token", seconds=1)
        asking = asyncio.create_task(ask(service, "shop-1", 1))
        await asyncio.sleep(0.4)
        service.process.kill()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.8)

    async with running(environ) as heir:
        with pytest.raises(ReauthRequired) as caught:
            await ask(heir, "shop-1", 1)

    assert caught.value.metadata["why"] == "lost_response"
    grant = sandbox.ledger(account)["grants"][0]
    assert (grant["refreshes"], grant["dead_refresh_tokens_presented"]) == (1, 1)


async def test_the_journal_of_another_database_is_refused(
    token_dsn: str, template_database: TemplateDatabase, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    async with running(environment(token_dsn, sandbox, tmp_path)):
        pass
    other = await template_database("token", migrate_token)
    async with running(environment(other, sandbox, tmp_path / "other")):
        pass

    process = await launch(environment(other, sandbox, tmp_path))
    _, said = await process.communicate()

    assert process.returncode == 78
    assert "belongs to another database" in said.decode()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TOKEN_ENC_KEY": KEY_HEX[:-1]}, "key default"),
        ({"TOKEN_ENC_KEY": ""}, "TOKEN_ENC_KEY"),
        ({"STATE_SECRET": ""}, "STATE_SECRET"),
        ({"STATE_SECRET": "guessed"}, "STATE_SECRET"),
        ({"STATE_SECRETS_ACCEPTED": f"{'s' * 64},guessed"}, "STATE_SECRETS_ACCEPTED"),
        ({"TOKEN_LISTEN": "0.0.0.0:50051"}, "TOKEN_LISTEN"),
        ({"TOKEN_LISTEN": "50051"}, "TOKEN_LISTEN"),
        ({"TIKTOK_API_BASE_URL": "http://tiktok.example"}, "TIKTOK_API_BASE_URL"),
        ({"DB_POOL_SIZE": "many"}, "DB_POOL_SIZE"),
        ({"TIKTOK_BASE_URL": "https://open-api.tiktokglobalshop.com"}, "set TIKTOK_SHOP_API_BASE_URL instead"),
        ({"TIKTOK_AUTH_URL": "https://services.tiktokshop.com/x"}, "set TIKTOK_SHOP_AUTHORIZE_URL instead"),
        ({"TIKTOK_TOKEN_URL": "https://auth.tiktok-shops.com/x"}, "set TIKTOK_SHOP_TOKEN_BASE_URL instead"),
        ({"TIKTOK_API_VERSION": "v2"}, "TIKTOK_API_VERSION is not read: remove it"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_a_line_that_names_it(
    token_dsn: str, sandbox: SandboxProcess, change: dict[str, str], named: str
) -> None:
    process = await launch(environment(token_dsn, sandbox) | change)
    _, said = await process.communicate()

    assert (process.returncode, said.count(b"\n")) == (78, 1)
    assert named in said.decode()
    assert KEY_HEX[:-1] not in said.decode()


async def test_another_key_of_the_same_name_never_writes(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with running(environment(token_dsn, sandbox)) as service:
        await connect(service, sandbox, "shop-1")
    wrong = {"TOKEN_ENC_KEY": bytes(range(100, 132)).hex()}

    process = await launch(environment(token_dsn, sandbox) | wrong)
    _, said = await process.communicate()

    assert process.returncode == 78
    assert "key default is not the key" in said.decode()


async def test_a_key_that_stored_tokens_need_is_missed_at_the_start(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with running(environment(token_dsn, sandbox)) as service:
        await connect(service, sandbox, "shop-1")
    other_ring = {"TOKEN_ENC_KEY": "", "TOKEN_ENC_KEYS": f"k2:{bytes(range(100, 132)).hex()}"}

    process = await launch(environment(token_dsn, sandbox) | other_ring)
    _, said = await process.communicate()

    assert process.returncode == 78
    assert "need key default" in said.decode()


async def test_no_log_line_of_a_connect_and_a_refresh_holds_a_secret(token_dsn: str, sandbox: SandboxProcess) -> None:
    async with running(environment(token_dsn, sandbox)) as service:
        await connect(service, sandbox, "shop-1")
        await expire_all(token_dsn)
        await ask(service, "shop-1", 3)
        await service.end()

    assert any("GetValidToken" in line for line in service.lines)
    assert not [line for line in service.lines if "CNRY" in line]
