"""Answers to a refresh that TikTok carried out and damaged: what can be read is kept, what is lost is named."""

from dataclasses import replace
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from libs.errors import ReauthRequired, TokhubError, UpstreamBadResponse, UpstreamUnavailable
from libs.secret import Secret
from services.token.adapters.outcomes import ASSUMED_ACCESS, LONGEST_ACCESS, access_life, seconds_of
from services.token.core.provider import AppRefused, NotSent, Outcome, Unavailable, Unknown, Unreadable
from services.token.domain.connection import ById, Connection, Need, Status
from services.token.domain.grant import Grant
from tests.token.conftest import MINUTE, House, store

LOST = (Status.SUSPECT, "lost_response")


def without_access(grant: Grant) -> Grant:
    return replace(grant, access_token=Secret(""), access_seconds=0)


async def look(house: House, connection: Connection) -> Connection:
    held = await house.replica().connections.find(ById(id=connection.id))
    assert held
    return held.connection


async def status_of(house: House, connection: Connection) -> tuple[Status, str]:
    now = await look(house, connection)
    return now.status, now.reason


async def test_a_refresh_token_without_an_access_token_is_kept(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.bend = without_access

    with pytest.raises(UpstreamBadResponse):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))
    assert (await look(house, connection)).retry_in > 0


async def test_an_answer_without_an_access_token_leaves_the_old_one_in_use(house: House) -> None:
    connection = await house.connect()
    await house.leave(connection, left=timedelta(minutes=20))
    house.provider.bend = without_access
    tokens = house.replica().tokens
    with pytest.raises(UpstreamBadResponse):
        await tokens.refresh(store("shop-1"), "request")

    valid = await tokens.get_valid(store("shop-1"), MINUTE)

    assert valid.connection.version.generation == 2
    assert valid.access_token.reveal() == "act.account of shop-1.1"


async def test_a_newer_token_that_has_expired_settles_no_need(house: House) -> None:
    seen = (await house.connect()).version
    await house.pool.execute("UPDATE connections SET generation = generation + 1")
    newer = (await house.replica().connections.find(store("shop-1"))) or pytest.fail("no row")
    expired = replace(newer.connection, seconds_left=-1.0)

    assert Need(min_ttl=9000).settled_by(newer.connection, seen)
    assert not Need(min_ttl=9000).settled_by(expired, seen)


async def test_a_new_refresh_token_that_cannot_be_read_is_named_at_once(house: House) -> None:
    connection = await house.connect()
    old = await house.stored_refresh_token(connection.id)
    await house.expire(connection)
    house.provider.bend = lambda grant: replace(grant, refresh_token=old, in_doubt=True)
    tokens = house.replica().tokens

    assert (await tokens.get_valid(store("shop-1"), MINUTE)).fresh

    assert await status_of(house, connection) == LOST
    with pytest.raises(ReauthRequired) as caught:
        await tokens.refresh(store("shop-1"), "request")
    assert caught.value.metadata["why"] == "lost_response"


@pytest.mark.parametrize(
    "second",
    [
        NotSent("refused"),
        Unreadable("HTTP 200"),
        AppRefused("invalid_client"),
        Unavailable("HTTP 503", retry_after=1, limited=False),
    ],
)
async def test_an_outage_after_a_lost_answer_leaves_the_doubt(house: House, second: Outcome) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unknown("cut"), second]

    with pytest.raises(TokhubError):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == LOST


async def test_a_lost_answer_does_not_shorten_the_wait_that_tiktok_asks_for(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unknown("cut"), Unavailable("HTTP 429", retry_after=300, limited=True)]

    with pytest.raises(UpstreamUnavailable) as caught:
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert caught.value.retry_after == 300
    assert (await look(house, connection)).retry_in > 290


async def test_a_page_is_told_as_a_bad_response(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unreadable("HTTP 200")]

    with pytest.raises(UpstreamBadResponse):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == (Status.ACTIVE, "")


async def test_a_token_that_still_works_is_served_behind_a_page(house: House) -> None:
    await house.leave(await house.connect(), left=timedelta(seconds=30))
    house.provider.fail_before = [Unreadable("HTTP 200")]

    assert not (await house.replica().tokens.get_valid(store("shop-1"), MINUTE)).fresh


@pytest.mark.parametrize("seconds", [1, 7200, 604_800, LONGEST_ACCESS])
def test_a_life_that_can_be_is_believed(seconds: int) -> None:
    assert access_life(seconds) == seconds


@pytest.mark.parametrize("seconds", [None, 0, -5, LONGEST_ACCESS + 1, 1_795_000_000])
def test_a_life_that_cannot_be_is_assumed(seconds: int | None) -> None:
    assert access_life(seconds) == ASSUMED_ACCESS


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("-1", 1),
        ("1e9", 900),
        ("inf", 900),
        ("nan", 1),
        ("soon", 1),
        ("", 1),
        (None, 1),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 900),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", 1),
    ],
)
def test_a_wait_that_is_asked_for_is_kept_within_reason(header: str | None, seconds: float) -> None:
    assert seconds_of(header, SystemClock()) == seconds
