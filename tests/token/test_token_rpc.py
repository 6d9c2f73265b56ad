"""The token service's methods, through a real server with its interceptor, against the sandbox."""

from collections.abc import Awaitable, Callable

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import (
    AccountAlreadyConnected,
    AuthorizationDenied,
    ConnectionNotFound,
    InvalidField,
    ReauthRequired,
    ServerMisconfig,
    StateInvalid,
    StateReused,
)
from tests.token.rpc_client import STORE, Client, reference


async def test_a_connected_store_has_a_token_that_tiktok_accepts(client: Client) -> None:
    await client.connect("shop-1")

    valid = await client.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=reference("shop-1")))

    headers = {"Authorization": f"Bearer {valid.access_token}"}
    answer = client.sandbox.control.get("/v2/user/info/", params={"fields": "open_id"}, headers=headers).json()
    assert (answer["error"]["code"], answer["data"]["user"]["open_id"]) == ("ok", valid.account_id)


async def test_a_connection_is_found_by_id_and_by_owner(client: Client) -> None:
    connection = await client.connect("shop-1")
    by_id = token_pb2.ConnectionReference(connection_id=connection.id)

    found = [
        (await client.connections.GetConnection(token_pb2.GetConnectionRequest(connection=one))).connection.number
        for one in (by_id, reference("shop-1"))
    ]

    assert found == [connection.number] * 2


async def test_lifetimes_are_as_tiktok_gave_them(client: Client) -> None:
    connection = await client.connect("shop-1")

    assert 1.9 < connection.hours_left <= 2
    days = (connection.refresh_expire_time.seconds - connection.connect_time.seconds) / 86_400
    assert 179 < days <= 180
    assert not connection.needs_refresh


async def test_a_refresh_gives_a_new_generation_and_kills_the_old_token(client: Client) -> None:
    account = client.sandbox.next_account()
    before = await client.connect("shop-1", account)

    request = token_pb2.RefreshTokenRequest(connection=reference("shop-1"), request_id="r1")
    answers = [await client.tokens.RefreshToken(request) for _ in range(2)]

    assert [answer.connection.generation for answer in answers] == [before.generation + 1] * 2
    assert client.sandbox.ledger(account)["grants"][0]["refreshes"] == 1


async def test_a_token_that_is_not_due_is_left_alone(client: Client) -> None:
    await client.connect("shop-1")

    request = token_pb2.RefreshTokenRequest(
        connection=reference("shop-1"), request_id="r1", rule=token_pb2.REFRESH_RULE_WHEN_DUE
    )

    assert not (await client.tokens.RefreshToken(request)).refreshed


async def test_a_person_who_took_the_app_away_must_consent_again(client: Client) -> None:
    account = client.sandbox.next_account()
    connection = await client.connect("shop-1", account)
    client.sandbox.control.post(f"/sandbox/accounts/{account}/revoke").raise_for_status()

    request = token_pb2.GetValidTokenRequest(connection=reference("shop-1"), rejected_generation=connection.generation)
    with pytest.raises(ReauthRequired):
        await client.tokens.GetValidToken(request)

    found = await client.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference("shop-1")))
    assert found.connection.status == token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED


@pytest.mark.parametrize("word", ["invalid_request", "invalid_client", "a_word_of_tomorrow"])
async def test_a_refusal_that_is_not_about_the_token_blames_no_connection(client: Client, word: str) -> None:
    account = client.sandbox.next_account()
    connection = await client.connect("shop-1", account)
    client.sandbox.fault("oauth_error", account, endpoint="token", error=word)

    with pytest.raises(ServerMisconfig):
        await client.tokens.GetValidToken(
            token_pb2.GetValidTokenRequest(connection=reference("shop-1"), rejected_generation=connection.generation)
        )

    found = await client.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference("shop-1")))
    assert found.connection.status == token_pb2.CONNECTION_STATUS_ACTIVE


async def test_a_consent_link_works_once(client: Client) -> None:
    link = await client.start("shop-1")
    came_back = await client.consent(link.authorize_url, client.sandbox.next_account())
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    await client.connections.CompleteAuthorization(request)

    with pytest.raises(StateReused):
        await client.connections.CompleteAuthorization(request)


async def test_a_bound_link_needs_its_browser(client: Client) -> None:
    link = await client.start("shop-1", token_pb2.LINK_BINDING_BROWSER)
    came_back = await client.consent(link.authorize_url, client.sandbox.next_account())
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    with pytest.raises(StateInvalid):
        await client.connections.CompleteAuthorization(request)

    request.browser_nonce = link.browser_nonce
    assert (await client.connections.CompleteAuthorization(request)).connection.id


async def test_a_declined_consent_connects_nothing(client: Client) -> None:
    link = await client.start("shop-1")

    with pytest.raises(AuthorizationDenied):
        await client.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=link.state, error="access_denied")
        )


async def test_an_account_of_another_store_is_refused(client: Client) -> None:
    account = client.sandbox.next_account()
    await client.connect("shop-1", account)

    with pytest.raises(AccountAlreadyConnected):
        await client.connect("shop-2", account)


async def test_connections_are_listed_in_pages(client: Client) -> None:
    numbers = [(await client.connect(f"shop-{n}")).number for n in range(5)]

    listed: list[int] = []
    request = token_pb2.ListConnectionsRequest(page_size=2)
    while True:
        page = await client.connections.ListConnections(request)
        listed += [connection.number for connection in page.connections]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break

    assert listed == numbers


async def test_a_list_is_narrowed_to_owners_and_statuses(client: Client) -> None:
    for code in ("shop-1", "shop-2", "shop-3"):
        await client.connect(code)

    page = await client.connections.ListConnections(
        token_pb2.ListConnectionsRequest(
            owner_kind=STORE,
            owner_ids=["shop-1", "shop-3", "unknown"],
            statuses=[token_pb2.CONNECTION_STATUS_ACTIVE],
        )
    )

    assert [connection.owner.id for connection in page.connections] == ["shop-1", "shop-3"]


@pytest.mark.parametrize("page_token", ["x", "-1", "1e3", "٣", "9" * 40])
async def test_a_page_token_of_another_list_is_refused(client: Client, page_token: str) -> None:
    with pytest.raises(InvalidField):
        await client.connections.ListConnections(token_pb2.ListConnectionsRequest(page_token=page_token))


Ask = Callable[[Client], Awaitable[object]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=reference("nobody"))),
        lambda client: client.connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference("nobody"))),
        lambda client: client.tokens.RefreshToken(
            token_pb2.RefreshTokenRequest(connection=reference("nobody"), request_id="r")
        ),
    ],
)
async def test_an_owner_without_a_connection_is_not_found(client: Client, ask: Ask) -> None:
    with pytest.raises(ConnectionNotFound):
        await ask(client)


async def test_no_answer_has_a_place_for_a_refresh_token() -> None:
    messages = token_pb2.DESCRIPTOR.message_types_by_name.values()
    answers = (message for message in messages if message.name != "ImportEntry")
    fields = {field.name for message in answers for field in message.fields}

    assert not [name for name in fields if "refresh_token" in name]
