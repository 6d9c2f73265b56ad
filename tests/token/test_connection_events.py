"""What happens to a connection is recorded in the statement that makes it happen."""

from dataclasses import replace

import asyncpg
import pytest

from libs.errors import ReauthRequired, TokhubError, UpstreamUnavailable
from libs.rpc.request_id import bind_request_id
from services.token.core.provider import NotSent, Outcome, Refused, Unknown
from tests.token.conftest import MINUTE, House, store


async def events(house: House) -> list[tuple[str, int, str]]:
    rows = await house.pool.fetch("SELECT kind, generation, reason FROM connection_events ORDER BY id")
    return [tuple(row) for row in rows]


async def test_a_refresh_leaves_its_intent_and_its_outcome(house: House) -> None:
    await house.expire(await house.connect())

    await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await events(house) == [("CONNECTED", 1, ""), ("REFRESH_INTENT", 1, ""), ("REFRESHED", 2, "")]


async def test_a_refresh_that_brought_less_is_recorded_as_such(house: House) -> None:
    await house.expire(await house.connect())
    house.provider.bend = lambda grant: replace(grant, scopes=("user.info.basic",))

    await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert (await events(house))[-1] == ("REFRESHED", 2, "scope_reduced")


async def test_an_event_names_the_replica_and_the_request(house: House) -> None:
    await house.expire(await house.connect())
    bind_request_id("request-7")

    await house.replica("replica-9").tokens.get_valid(store("shop-1"), MINUTE)

    named = "SELECT DISTINCT replica, request_id FROM connection_events WHERE kind LIKE 'REFRESH%'"
    assert [tuple(row) for row in await house.pool.fetch(named)] == [("replica-9", "request-7")]


@pytest.mark.parametrize(
    ("outcomes", "error", "left"),
    [
        ([NotSent("no way")], UpstreamUnavailable, ("REFRESH_FAILED", 1, "UPSTREAM_UNAVAILABLE")),
        ([Unknown("cut"), Unknown("cut")], UpstreamUnavailable, ("SUSPECT", 1, "lost_response")),
        ([Refused("invalid_grant")], ReauthRequired, ("REAUTH_REQUIRED", 1, "refused")),
    ],
)
async def test_a_refresh_that_brings_nothing_says_why(
    house: House, outcomes: list[Outcome], error: type[TokhubError], left: tuple[str, int, str]
) -> None:
    await house.expire(await house.connect())
    house.provider.fail_before = list(outcomes)

    with pytest.raises(error):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert (await events(house))[2] == left


async def test_nothing_happens_that_cannot_be_recorded(house: House) -> None:
    await house.expire(await house.connect())
    await house.pool.execute("ALTER TABLE connection_events ADD CHECK (kind <> 'REFRESH_INTENT')")

    with pytest.raises(asyncpg.CheckViolationError):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert house.provider.presented == []


async def test_no_event_holds_a_secret(house: House) -> None:
    await house.expire(await house.connect())
    await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    text = await house.pool.fetchval("SELECT string_agg(connection_events::text, ' ') FROM connection_events")

    assert not [token for token in ("act.", "rft.") if token in text]
