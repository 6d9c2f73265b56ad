"""A consent becomes one connection, of the right account, for the right owner."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.clock import SystemClock
from libs.errors import (
    AccountAlreadyConnected,
    AuthorizationDenied,
    InvalidField,
    ScopeMissing,
    StateInvalid,
    StateReused,
    StorageUnavailable,
    TokhubError,
    UpstreamBadResponse,
    UpstreamUnavailable,
)
from libs.secret import Secret
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.links import PostgresLinks
from services.token.adapters.login_kit import SCOPES_ASKED
from services.token.adapters.revocations import PostgresRevocations
from services.token.core import authorization
from services.token.core.authorization import Authorization, Invitation, Redirect
from services.token.core.provider import Garbled, NotSent, Outcome, Refused, Unknown
from services.token.core.state import States, Terms
from services.token.domain.connection import ByOwner, Connection, Provider, Status
from tests.token.conftest import House, store
from tests.token.counting_provider import QuickClock

PAGE = "https://app.example/settings"


@pytest.fixture
def authorizing(house: House) -> Authorization:
    parts = authorization.Parts(
        connections=PostgresConnections(pool=house.pool, replica="r"),
        links=PostgresLinks(house.pool),
        providers={Provider.LOGIN_KIT: house.provider},
        journal=house.journal,
        vault=house.vault,
        clock=QuickClock(),
    )
    states = States(
        secrets=[Secret("s" * 32)],
        redirect_uri="http://127.0.0.1/back",
        lifetime=timedelta(minutes=10),
        allowed=[PAGE],
    )
    return Authorization(parts, states)


def redirect(invitation: Invitation, code: str = "code", error: str = "", nonce: str | None = None) -> Redirect:
    return Redirect(state=invitation.state, code=code, error=error, nonce=invitation.nonce if nonce is None else nonce)


async def connect(authorizing: Authorization, owner: str = "shop-1", code: str = "code") -> Connection:
    return await authorizing.complete(redirect(await authorizing.start(store(owner), 1, bind=True), code))


async def test_a_consent_becomes_an_active_connection(authorizing: Authorization) -> None:
    connection = await connect(authorizing)

    assert (Status.ACTIVE, store("shop-1").owner, SCOPES_ASKED) == (
        connection.status,
        connection.owner,
        connection.scopes,
    )


async def test_a_link_lives_by_the_databases_clock(
    authorizing: Authorization, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickClock, "now", lambda clock: SystemClock.now(clock) - timedelta(hours=1))
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)

    issued = await house.pool.fetchval("SELECT clock_timestamp() - $1::timestamptz", invitation.link.issued_at)
    assert abs(issued) < timedelta(minutes=1)
    assert (await authorizing.complete(redirect(invitation))).status is Status.ACTIVE


async def test_a_link_works_once_however_many_use_it_at_once(authorizing: Authorization) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)

    results = await asyncio.gather(
        *(authorizing.complete(redirect(invitation)) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(result, Connection) for result in results) == 1
    assert sum(isinstance(result, StateReused) for result in results) == 19


async def test_a_link_of_another_owner_is_not_spent(authorizing: Authorization) -> None:
    mine = redirect(await authorizing.start(store("shop-1"), 1, bind=False))
    shops = ByOwner(provider=Provider.TIKTOK_SHOP, owner=store("shop-1").owner)

    for expected in (store("shop-2"), shops):
        with pytest.raises(StateInvalid):
            await authorizing.complete(replace(mine, expected=expected))

    assert (await authorizing.complete(replace(mine, expected=store("shop-1")))).status is Status.ACTIVE


async def test_the_code_is_exchanged_for_where_its_page_led(authorizing: Authorization, house: House) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True, terms=Terms(redirect_uri=PAGE))
    await authorizing.complete(redirect(invitation))
    await connect(authorizing, "shop-2", "code-2")

    assert invitation.url.endswith(f"&redirect_uri={PAGE}")
    assert house.provider.redirects == [PAGE, ""]


async def test_another_browsers_link_is_not_spent(authorizing: Authorization) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)
    with pytest.raises(StateInvalid):
        await authorizing.complete(redirect(invitation, nonce="another browser"))

    assert (await authorizing.complete(redirect(invitation))).status is Status.ACTIVE


async def test_a_refusal_on_tiktoks_page_connects_nothing(authorizing: Authorization, house: House) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)

    with pytest.raises(AuthorizationDenied):
        await authorizing.complete(redirect(invitation, code="", error="access_denied"))

    assert await house.pool.fetchval("SELECT count(*) FROM connections") == 0


async def test_the_same_account_again_begins_a_new_epoch(authorizing: Authorization) -> None:
    first, second = [await connect(authorizing) for _ in range(2)]

    assert first.id == second.id
    assert first.version.epoch + 1 == second.version.epoch
    assert first.version.generation < second.version.generation


async def test_an_account_lives_on_one_owner_at_a_time(authorizing: Authorization, house: House) -> None:
    house.provider.on_exchange = lambda _: "the account"
    await connect(authorizing, "shop-1")

    with pytest.raises(AccountAlreadyConnected) as caught:
        await connect(authorizing, "other-shop")

    assert caught.value.metadata["owner"] == "store sh***"
    assert house.provider.revoked == []


async def test_a_live_store_keeps_its_account(authorizing: Authorization, house: House) -> None:
    await connect(authorizing, code="first")

    with pytest.raises(AccountAlreadyConnected):
        await connect(authorizing, code="second")

    assert len(house.provider.revoked) == 1
    assert await house.pool.fetchval("SELECT account_id FROM connections") == "account of first"


async def test_a_disconnected_store_may_take_another_account(authorizing: Authorization, house: House) -> None:
    await connect(authorizing, code="first")
    await house.pool.execute("UPDATE connections SET status = 'DISCONNECTED', epoch = epoch + 1")

    assert (await connect(authorizing, code="second")).account_id == "account of second"


async def test_an_account_left_by_a_disconnected_owner_is_free(authorizing: Authorization, house: House) -> None:
    house.provider.on_exchange = lambda _: "the account"
    await connect(authorizing, "shop-1")
    await house.pool.execute("UPDATE connections SET status = 'DISCONNECTED'")

    assert (await connect(authorizing, "other-shop")).owner.id == "other-shop"


async def test_two_first_connects_of_one_owner_at_once_make_one_row(authorizing: Authorization, house: House) -> None:
    house.provider.on_exchange = lambda _: "the account"

    await asyncio.gather(*(connect(authorizing) for _ in range(5)))

    assert await house.pool.fetchval("SELECT count(*) FROM connections") == 1


async def test_a_missing_permission_is_named_and_the_grant_given_back(authorizing: Authorization, house: House) -> None:
    house.provider.scopes = ("user.info.basic", "video.list")

    with pytest.raises(ScopeMissing) as caught:
        await connect(authorizing)

    assert caught.value.metadata["scopes"] == "user.info.stats"
    assert len(house.provider.revoked) == 1


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Refused("invalid_grant"), InvalidField),
        (Unknown("cut"), UpstreamUnavailable),
        (Garbled("HTTP 200"), UpstreamBadResponse),
    ],
)
async def test_a_code_that_was_sent_is_never_sent_again(
    authorizing: Authorization, house: House, outcome: Outcome, error: type[TokhubError]
) -> None:
    house.provider.fail_before = [outcome]

    with pytest.raises(error):
        await connect(authorizing)


async def test_a_code_that_never_left_is_sent_again(authorizing: Authorization, house: House) -> None:
    house.provider.fail_before = [NotSent("refused"), NotSent("refused")]

    assert Status.ACTIVE is (await connect(authorizing)).status


async def test_a_browser_that_leaves_does_not_lose_the_grant(authorizing: Authorization, house: House) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)
    caller = asyncio.create_task(authorizing.complete(redirect(invitation)))
    await house.provider.arrived.wait()
    caller.cancel()
    await authorizing.drain()

    assert await house.pool.fetchval("SELECT count(*) FROM connections") == 1


async def test_a_success_page_loaded_again_says_the_link_was_used(authorizing: Authorization) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=True)
    await authorizing.complete(redirect(invitation))

    with pytest.raises(StateReused):
        await authorizing.complete(redirect(invitation, nonce=""))


async def test_a_disconnect_ends_the_links_of_its_owner_only(authorizing: Authorization, house: House) -> None:
    await connect(authorizing, "shop-1")
    ended, other = [await authorizing.start(store(code), 1, bind=False) for code in ("shop-1", "shop-2")]

    await PostgresRevocations(pool=house.pool, replica="r").disconnect(store("shop-1"))

    with pytest.raises(StateInvalid, match="was ended"):
        await authorizing.complete(redirect(ended, "a"))
    assert (await authorizing.complete(redirect(other, "b"))).status is Status.ACTIVE
    assert (await connect(authorizing, "shop-1", "c")).status is Status.ACTIVE


async def test_an_owner_who_never_connected_has_links_to_end(authorizing: Authorization, house: House) -> None:
    invitation = await authorizing.start(store("shop-1"), 1, bind=False)

    assert await PostgresRevocations(pool=house.pool, replica="r").disconnect(store("shop-1")) is None

    with pytest.raises(StateInvalid):
        await authorizing.complete(redirect(invitation))
    assert await house.pool.fetchval("SELECT count(*) FROM connections") == 0


async def test_a_consent_under_way_is_not_stored_after_a_disconnect(authorizing: Authorization, house: House) -> None:
    house.provider.gate.clear()
    invitation = await authorizing.start(store("shop-1"), 1, bind=False)
    completing = asyncio.create_task(authorizing.complete(redirect(invitation)))
    await house.provider.arrived.wait()

    await PostgresRevocations(pool=house.pool, replica="r").disconnect(store("shop-1"))
    house.provider.gate.set()

    with pytest.raises(StateInvalid):
        await completing
    assert await house.pool.fetchval("SELECT count(*) FROM connections") == 0
    assert len(house.provider.revoked) == 1


def stalling(monkeypatch: pytest.MonkeyPatch, authorizing: Authorization, times: int) -> None:
    """Let the database be away for the next few stores."""
    connect = authorizing._connections.connect
    left = times

    async def connect_later(*arguments: Any, **named: Any) -> Connection:
        nonlocal left
        left -= 1
        if left >= 0:
            raise StorageUnavailable
        return await connect(*arguments, **named)

    monkeypatch.setattr(authorizing._connections, "connect", connect_later)


async def test_a_consent_waits_out_a_database_that_stalls(
    authorizing: Authorization, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalling(monkeypatch, authorizing, 3)

    assert (await connect(authorizing)).status is Status.ACTIVE


async def test_a_consent_that_cannot_be_kept_is_given_back(
    authorizing: Authorization, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorization, "STORE_PATIENCE", 0.05)
    stalling(monkeypatch, authorizing, 1000)

    with pytest.raises(StorageUnavailable):
        await connect(authorizing)

    assert len(house.provider.revoked) == 1
