import pytest

from tests.sandbox.visitor import Visitor


async def test_a_refresh_rotates_and_kills_the_old(visitor: Visitor) -> None:
    first = await visitor.connect()
    second = await visitor.refresh(first["refresh_token"])
    assert second.keys() == first.keys()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert (await visitor.refresh(first["refresh_token"]))["error"] == "invalid_grant"
    assert "access_token" in await visitor.refresh(second["refresh_token"])


async def test_an_access_token_outlives_the_rotation(visitor: Visitor) -> None:
    first = await visitor.connect()
    await visitor.refresh(first["refresh_token"])
    assert (await visitor.user(first["access_token"])).status_code == 200


async def test_the_same_token_may_come_back(visitor: Visitor) -> None:
    await visitor.switch(refresh_rotation="same")
    first = await visitor.connect()
    second = await visitor.refresh(first["refresh_token"])
    assert second["refresh_token"] == first["refresh_token"]
    assert second["access_token"] != first["access_token"]


async def test_grace_keeps_the_old_one_for_a_while(visitor: Visitor) -> None:
    await visitor.switch(refresh_rotation="grace", refresh_grace_seconds=60)
    first = await visitor.connect()
    await visitor.refresh(first["refresh_token"])
    await visitor.advance(59)
    assert "access_token" in await visitor.refresh(first["refresh_token"])
    await visitor.advance(2)
    assert (await visitor.refresh(first["refresh_token"]))["error"] == "invalid_grant"


async def test_reuse_can_end_the_whole_family(visitor: Visitor) -> None:
    await visitor.switch(reuse_revokes_family=True)
    first = await visitor.connect()
    second = await visitor.refresh(first["refresh_token"])
    await visitor.refresh(first["refresh_token"])
    assert (await visitor.refresh(second["refresh_token"]))["error"] == "invalid_grant"
    assert (await visitor.user(second["access_token"])).status_code == 401


async def test_reuse_is_counted_by_account(visitor: Visitor) -> None:
    first = await visitor.connect("store_0002")
    await visitor.refresh(first["refresh_token"])
    await visitor.refresh(first["refresh_token"])
    seen = await visitor.ledger("/accounts/store_0002")
    assert (seen["refreshes"], seen["dead_refresh_tokens_presented"]) == (1, 1)
    assert (await visitor.ledger("/accounts/store_0001"))["refreshes"] == 0


@pytest.mark.parametrize(("life", "left"), [("fixed", 15552000 - 3600), ("sliding", 15552000)])
async def test_the_refresh_life_is_fixed_or_slides(visitor: Visitor, life: str, left: int) -> None:
    await visitor.switch(refresh_life=life)
    first = await visitor.connect()
    await visitor.advance(3600)
    second = await visitor.refresh(first["refresh_token"])
    assert left - 30 <= second["refresh_expires_in"] <= left


async def test_a_refresh_token_expires(visitor: Visitor) -> None:
    first = await visitor.connect()
    await visitor.advance(15552001)
    assert (await visitor.refresh(first["refresh_token"]))["error"] == "invalid_grant"


async def test_an_access_token_expires(visitor: Visitor) -> None:
    first = await visitor.connect()
    await visitor.advance(7100)
    assert (await visitor.user(first["access_token"])).status_code == 200
    await visitor.advance(101)
    assert (await visitor.user(first["access_token"])).json()["error"]["code"] == "access_token_invalid"


async def test_kinds_of_tokens_do_not_mix(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    assert (await visitor.refresh(tokens["access_token"]))["error"] == "invalid_grant"
    assert (await visitor.user(tokens["refresh_token"])).status_code == 401
    assert (await visitor.user(tokens["access_token"].replace("s1e", "s2e", 1))).status_code == 401


async def test_revocation_ends_the_grant(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    assert await visitor.revoke(tokens["access_token"]) == {}
    assert (await visitor.user(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"
    assert (await visitor.revoke(tokens["access_token"]))["error"] == "invalid_grant"


async def test_revocation_leaves_other_grants_alone(visitor: Visitor) -> None:
    first, second = await visitor.connect(), await visitor.connect()
    await visitor.revoke(first["access_token"])
    assert "access_token" in await visitor.refresh(second["refresh_token"])


async def test_an_expired_access_token_revokes_nothing(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.advance(7201)
    assert (await visitor.revoke(tokens["access_token"]))["error"] == "invalid_grant"
    assert "access_token" in await visitor.refresh(tokens["refresh_token"])


async def test_revocation_needs_the_client_secret(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    form = {"client_key": "sbawtokhubsandbox", "client_secret": "no", "token": tokens["access_token"]}
    assert (await visitor.client.post("/v2/oauth/revoke/", data=form)).json()["error"] == "invalid_client"
    assert (await visitor.user(tokens["access_token"])).status_code == 200


async def test_a_person_can_remove_the_app(visitor: Visitor) -> None:
    tokens = await visitor.connect("store_0005")
    assert (await visitor.client.post("/sandbox/accounts/store_0005/revoke")).json() == {"revoked": 1}
    assert (await visitor.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"
