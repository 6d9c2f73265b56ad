"""A disconnect stands at once and for good, whatever TikTok says; and who may be replaced by whom."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import AccountAlreadyConnected, ConnectionNotFound, ReauthRequired, TokhubError
from tests.fixtures_sandbox import SandboxProcess
from tests.token.rpc_client import Client, reference
from tests.token.shop_client import Shops, by_id, serving_shops

LOGIN_KIT = token_pb2.PROVIDER_LOGIN_KIT
STORE = token_pb2.OWNER_KIND_STORE
REFUSE_RESEALED = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$
"""
NO_SHOP_APP = dict.fromkeys(("TIKTOK_SHOP_APP_KEY", "TIKTOK_SHOP_APP_SECRET", "TIKTOK_SHOP_SERVICE_ID"), "")
ACTIVE, DISCONNECTED = token_pb2.CONNECTION_STATUS_ACTIVE, token_pb2.CONNECTION_STATUS_DISCONNECTED


async def link(client: Shops, owner: str, **terms: Any) -> token_pb2.StartAuthorizationResponse:
    return await client.connections.StartAuthorization(
        token_pb2.StartAuthorizationRequest(
            provider=LOGIN_KIT,
            owner=token_pb2.Owner(kind=STORE, id=owner),
            binding=token_pb2.LINK_BINDING_NONE,
            **terms,
        )
    )


async def connect(client: Shops, owner: str, account: str, **terms: Any) -> token_pb2.Connection:
    started = await link(client, owner, **terms)
    came_back = await asyncio.to_thread(client.sandbox.consent, started.authorize_url, account)
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    return (await client.connections.CompleteAuthorization(request)).connection


async def disconnect(client: Shops, connection: token_pb2.Connection) -> token_pb2.DisconnectResponse:
    return await client.connections.Disconnect(token_pb2.DisconnectRequest(connection=by_id(connection)))


async def revoke_due(client: Shops) -> None:
    await client.pool.execute("UPDATE revocations SET next_at = clock_timestamp()")
    await client.core.connecting.disconnection.revoke_due()


def live_grants(client: Shops, account: str) -> int:
    rows = client.sandbox.control.get("/sandbox/accounts", params={"q": account}).json()["accounts"]
    return int(next(row["live_grants"] for row in rows if row["username"] == account))


async def test_a_disconnect_ends_the_row_and_the_grant_and_deletes_the_tokens(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    before = await connect(shops, "shop-1", account)

    answer = await disconnect(shops, before)

    assert (answer.connection.status, answer.connection.epoch) == (DISCONNECTED, before.epoch + 1)
    assert answer.revocation == token_pb2.REVOCATION_DONE
    ends = {"access_expire_time", "refresh_expire_time", "hours_left"}
    assert ends <= told_fields(before)
    assert not ends & told_fields(answer.connection)
    assert live_grants(shops, account) == 0
    row = await shops.pool.fetchrow("SELECT access_token, refresh_token FROM connections")
    assert row is not None
    assert (bytes(row["access_token"]), bytes(row["refresh_token"])) == (b"", b"")
    with pytest.raises(ReauthRequired):
        await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(before)))


def told_fields(connection: token_pb2.Connection) -> set[str]:
    return {field.name for field, _ in connection.ListFields()}


async def test_a_second_disconnect_changes_nothing(shops: Shops) -> None:
    connection = await connect(shops, "shop-1", shops.sandbox.next_account())

    first, second = [await disconnect(shops, connection) for _ in range(2)]

    assert first.connection.epoch == second.connection.epoch
    assert second.revocation == token_pb2.REVOCATION_DONE


async def test_an_expired_access_token_is_refreshed_to_end_the_grant(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    await shops.pool.execute("UPDATE connections SET access_expires_at = clock_timestamp()")

    answer = await disconnect(shops, connection)

    assert (answer.revocation, live_grants(shops, account)) == (token_pb2.REVOCATION_DONE, 0)
    assert shops.sandbox.ledger(account)["grants"][0]["refreshes"] == 1


async def test_a_grant_is_ended_though_its_new_tokens_cannot_be_kept(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    await shops.pool.execute("UPDATE connections SET access_expires_at = clock_timestamp()")
    await shops.pool.execute(REFUSE_RESEALED)
    await shops.pool.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE OF generation ON revocations FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    answer = await disconnect(shops, connection)

    assert (answer.revocation, live_grants(shops, account)) == (token_pb2.REVOCATION_DONE, 0)


async def test_a_revoke_that_fails_leaves_the_disconnect_and_is_tried_again(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    shops.sandbox.fault("503", account, endpoint="revoke")

    answer = await disconnect(shops, connection)
    assert (answer.connection.status, answer.revocation) == (DISCONNECTED, token_pb2.REVOCATION_PENDING)

    await revoke_due(shops)
    assert live_grants(shops, account) == 0
    assert (await disconnect(shops, connection)).revocation == token_pb2.REVOCATION_DONE


async def test_an_account_that_was_connected_again_is_not_revoked_any_more(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    shops.sandbox.fault("503", account, endpoint="revoke")
    await disconnect(shops, connection)

    again = await connect(shops, "shop-1", account)
    await revoke_due(shops)

    assert (again.status, await shops.pool.fetchval("SELECT count(*) FROM revocations")) == (ACTIVE, 0)
    assert (await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(again)))).access_token
    assert live_grants(shops, account) >= 1


async def test_after_a_disconnect_another_account_may_come(shops: Shops) -> None:
    first = await connect(shops, "shop-1", shops.sandbox.next_account())
    await disconnect(shops, first)

    second = await connect(shops, "shop-1", shops.sandbox.next_account())

    assert (second.id, second.account_id != first.account_id, second.status) == (first.id, True, ACTIVE)


async def test_a_disconnect_beats_refreshes_that_run_beside_it(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    connection = await connect(shops, "shop-1", account)
    shops.sandbox.fault("slow", account, endpoint="token", seconds=0.3)
    refreshes = [asyncio.create_task(shops.refresh(connection, f"r{number}")) for number in range(5)]
    await asyncio.sleep(0.1)

    await disconnect(shops, connection)
    await asyncio.gather(*refreshes, return_exceptions=True)
    await shops.core.refreshing.refresher.drain()

    assert (await shops.look(connection)).status == DISCONNECTED
    assert await shops.pool.fetchval("SELECT length(access_token) FROM connections") == 0


async def test_a_shops_grant_can_be_ended_by_its_seller_only(shops: Shops) -> None:
    connection = await shops.connect("user-1", shops.sandbox.next_seller())

    answer = await disconnect(shops, connection)

    assert answer.revocation == token_pb2.REVOCATION_NOT_SUPPORTED
    assert await shops.pool.fetchval("SELECT count(*) FROM revocations") == 0


async def test_a_grant_whose_provider_has_no_app_here_holds_up_no_other(
    shops: Shops, token_dsn: str, sandbox: SandboxProcess
) -> None:
    account = sandbox.next_account()
    sold = await shops.connect("user-1", sandbox.next_seller())
    connection = await connect(shops, "shop-1", account)
    sandbox.fault("503", account, endpoint="revoke")
    async with serving_shops(token_dsn, sandbox, **NO_SHOP_APP) as bare:
        await disconnect(bare, sold)
        await disconnect(bare, connection)

        await revoke_due(bare)

    assert live_grants(shops, account) == 0
    assert await shops.pool.fetchval("SELECT count(*) FROM revocations") == 1


async def test_nobody_disconnects_what_is_not_there(client: Client) -> None:
    with pytest.raises(ConnectionNotFound):
        await client.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("nobody")))


async def test_an_operators_link_puts_another_account_in_the_place_of_a_live_one(shops: Shops) -> None:
    old, new = shops.sandbox.next_account(), shops.sandbox.next_account()
    before = await connect(shops, "shop-1", old)

    after = await connect(shops, "shop-1", new, purpose=token_pb2.LINK_PURPOSE_REPLACE)

    assert (after.id, after.epoch, after.account_id != before.account_id) == (before.id, before.epoch + 1, True)
    await revoke_due(shops)
    assert (live_grants(shops, old), live_grants(shops, new)) == (0, 1)


async def test_an_operators_link_takes_no_account_from_another_owner(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    await connect(shops, "shop-1", account)
    await connect(shops, "shop-2", shops.sandbox.next_account())

    with pytest.raises(AccountAlreadyConnected):
        await connect(shops, "shop-2", account, purpose=token_pb2.LINK_PURPOSE_REPLACE)

    assert live_grants(shops, account) >= 1


async def test_an_operators_link_lives_as_long_as_it_was_asked_to(shops: Shops) -> None:
    usual = await link(shops, "shop-1")
    longer = await link(shops, "shop-1", purpose=token_pb2.LINK_PURPOSE_REPLACE, ttl=timedelta(days=3))

    assert abs(longer.expire_time.seconds - usual.expire_time.seconds - (3 * 86_400 - 600)) <= 2


@pytest.mark.parametrize("seconds", [0, 59, 604_801])
async def test_a_link_lives_neither_a_moment_nor_for_ever(shops: Shops, seconds: int) -> None:
    with pytest.raises(TokhubError):
        await link(shops, "shop-1", ttl=timedelta(seconds=seconds))


async def test_fewer_scopes_at_a_refresh_are_stored_and_said(shops: Shops) -> None:
    connection = await connect(shops, "shop-1", shops.sandbox.next_account())
    await shops.pool.execute("UPDATE connections SET scopes = array_append(scopes, 'video.publish')")

    refreshed = await shops.refresh(connection)

    assert (refreshed.status, refreshed.reason) == (ACTIVE, "scope_reduced")
    assert (await shops.look(connection)).reason == "scope_reduced"
    again = await shops.refresh(connection, "r2")
    assert ((await shops.look(connection)).reason, list(again.scopes)) == ("scope_reduced", list(connection.scopes))
