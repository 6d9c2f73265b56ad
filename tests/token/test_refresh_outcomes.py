"""What TikTok answers to a refresh, and what that says about a connection."""

import asyncio
import gc
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest

from libs.errors import (
    ReauthRequired,
    ServerMisconfig,
    StorageUnavailable,
    TokhubError,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from services.token.core.exchange import FIRST_PAUSE, LONGEST_PAUSE, pause_after
from services.token.core.provider import AppRefused, NotSent, Outcome, Refused, Unavailable, Unknown
from services.token.domain.connection import ById, Connection, Status
from tests.token.conftest import MINUTE, House, Replica, other_than, store

BUSY = Unavailable("HTTP 503", retry_after=1, limited=False)
TOO_MANY = Unavailable("HTTP 429", retry_after=7, limited=True)


async def status_of(house: House, connection: Connection) -> tuple[Status, str]:
    held = await house.replica().connections.find(ById(id=connection.id))
    assert held is not None
    return held.connection.status, held.connection.reason


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (NotSent("refused"), UpstreamUnavailable),
        (BUSY, UpstreamUnavailable),
        (TOO_MANY, UpstreamRateLimited),
        (AppRefused("invalid_client"), ServerMisconfig),
    ],
)
async def test_an_outage_says_nothing_about_the_connection(
    house: House, outcome: Outcome, error: type[TokhubError]
) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [outcome]

    with pytest.raises(error):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == (Status.ACTIVE, "")


@pytest.mark.parametrize("outcome", [NotSent("refused"), BUSY, TOO_MANY, AppRefused("invalid_client")])
async def test_a_token_that_still_works_is_served_through_an_outage(house: House, outcome: Outcome) -> None:
    connection = await house.connect()
    await house.leave(connection, left=timedelta(seconds=30))
    house.provider.fail_before = [outcome]

    valid = await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert (valid.fresh, bool(valid.access_token)) == (False, True)


async def test_a_rejected_token_is_not_served_through_an_outage(house: House) -> None:
    connection = await house.connect()
    house.provider.fail_before = [BUSY]

    with pytest.raises(UpstreamUnavailable):
        await house.replica().tokens.get_valid(store("shop-1"), other_than(connection.version.generation))


async def test_the_pause_after_a_failure_spares_tiktok(house: House) -> None:
    await house.expire(await house.connect())
    house.provider.fail_before = [BUSY]
    tokens = house.replica().tokens

    for _ in range(3):
        with pytest.raises(UpstreamUnavailable):
            await tokens.get_valid(store("shop-1"), MINUTE)

    assert len(house.provider.presented) == 1


async def test_a_refresh_that_is_put_off_leaves_the_collector_nothing(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [BUSY]
    refresher = house.replica().refresher
    with pytest.raises(UpstreamUnavailable):
        await refresher.refresh(connection, MINUTE)

    gc.disable()
    try:
        await refresher.refresh(connection, MINUTE)
    except UpstreamUnavailable as error:
        put_off = ref(error)
    await asyncio.sleep(0)
    gone = put_off() is None
    gc.enable()

    assert gone


async def test_a_lost_answer_is_asked_for_once_more(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unknown("cut")]

    valid = await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert (len(house.provider.presented), valid.fresh) == (2, True)


async def test_two_lost_answers_make_a_connection_suspect(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unknown("cut"), Unknown("cut")]

    with pytest.raises(UpstreamUnavailable):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == (Status.SUSPECT, "lost_response")


async def test_a_suspect_connection_recovers_when_its_token_still_works(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Unknown("cut"), Unknown("cut")]
    tokens = house.replica().tokens
    with pytest.raises(UpstreamUnavailable):
        await tokens.get_valid(store("shop-1"), MINUTE)
    await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")

    assert (await tokens.get_valid(store("shop-1"), MINUTE)).fresh
    assert await status_of(house, connection) == (Status.ACTIVE, "")


async def test_a_token_in_doubt_is_presented_once_a_turn(house: House) -> None:
    await house.expire(await house.connect())
    house.provider.fail_before = [Unknown("cut") for _ in range(4)]
    tokens = house.replica().tokens
    presented = []
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable):
            await tokens.get_valid(store("shop-1"), MINUTE)
        presented.append(len(house.provider.presented))
        await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")

    assert presented == [2, 3, 4]


async def lose_an_answer_and_the_database(house: House, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a refresh end without an answer, and its lease without a word."""
    house.provider.fail_before = [Unknown("cut"), Unknown("cut")]

    async def fail(*_anything: object) -> bool:
        raise StorageUnavailable

    give_back = replica.connections.give_back
    monkeypatch.setattr(replica.connections, "give_back", fail)
    with pytest.raises(UpstreamUnavailable):
        await replica.tokens.get_valid(store("shop-1"), MINUTE)
    monkeypatch.setattr(replica.connections, "give_back", give_back)
    await house.pool.execute("UPDATE connections SET lease_until = NULL")


async def test_a_doubt_that_could_not_be_written_down_is_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.expire(await house.connect())
    replica = house.replica()
    await lose_an_answer_and_the_database(house, replica, monkeypatch)
    house.provider.fail_before = [Unknown("cut"), Unknown("cut")]

    with pytest.raises(UpstreamUnavailable):
        await replica.tokens.get_valid(store("shop-1"), MINUTE)

    assert len(house.provider.presented) == 3


async def test_a_refusal_after_a_doubt_nobody_wrote_down_is_a_loss(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    await house.expire(connection)
    replica = house.replica()
    await lose_an_answer_and_the_database(house, replica, monkeypatch)
    house.provider.fail_before = [Refused("invalid_grant")]

    with pytest.raises(ReauthRequired):
        await replica.tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == (Status.REAUTH_REQUIRED, "lost_response")


async def test_a_rotation_whose_answer_was_lost_is_named_so(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_after = [Unknown("cut")]

    with pytest.raises(ReauthRequired) as caught:
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert caught.value.metadata["why"] == "lost_response"
    assert await status_of(house, connection) == (Status.REAUTH_REQUIRED, "lost_response")


async def test_a_lost_answer_leaves_the_old_access_token_to_its_end(house: House) -> None:
    connection = await house.connect()
    await house.leave(connection, left=timedelta(minutes=20))
    house.provider.fail_after = [Unknown("cut")]
    tokens = house.replica().tokens
    with pytest.raises(ReauthRequired):
        await tokens.refresh(store("shop-1"), "request")

    assert not (await tokens.get_valid(store("shop-1"), MINUTE)).fresh
    with pytest.raises(ReauthRequired):
        await tokens.get_valid(store("shop-1"), other_than(connection.version.generation))


async def test_a_refused_token_asks_for_a_new_consent_and_is_not_tried_again(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.fail_before = [Refused("invalid_grant")]
    tokens = house.replica().tokens

    for _ in range(2):
        with pytest.raises(ReauthRequired):
            await tokens.get_valid(store("shop-1"), MINUTE)

    assert await status_of(house, connection) == (Status.REAUTH_REQUIRED, "refused")
    assert len(house.provider.presented) == 1


async def test_a_refusal_that_comes_after_somebody_elses_success_is_ignored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect(account="same account")
    await house.expire(connection)
    lagging = house.replica("lagging")
    claim = lagging.connections.claim

    async def claim_then_fall_behind(*arguments: Any, **named: Any) -> object:
        lease = await claim(*arguments, **named)
        await house.pool.execute("UPDATE connections SET lease_until = NULL")
        await house.replica("quick").tokens.get_valid(store("shop-1"), MINUTE)
        return lease

    monkeypatch.setattr(lagging.connections, "claim", claim_then_fall_behind)

    valid = await lagging.tokens.get_valid(store("shop-1"), MINUTE)

    assert valid.fresh
    assert await status_of(house, connection) == (Status.ACTIVE, "")


async def test_a_token_moved_from_another_row_does_not_open(house: House) -> None:
    ours, theirs = await house.connect("shop-1"), await house.connect("shop-2")
    await house.pool.execute(
        "UPDATE connections SET access_token = (SELECT access_token FROM connections WHERE id = $1) WHERE id = $2",
        theirs.id,
        ours.id,
    )

    with pytest.raises(ServerMisconfig):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)


@pytest.mark.parametrize("change", ["epoch = epoch + 1", "generation = generation + 1", "access_token = refresh_token"])
async def test_a_token_does_not_open_in_another_epoch_generation_or_field(house: House, change: str) -> None:
    await house.connect()
    await house.pool.execute(f"UPDATE connections SET {change}")

    with pytest.raises(ServerMisconfig):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)


async def test_a_refresh_token_that_does_not_open_is_never_sent(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    await house.pool.execute("UPDATE connections SET refresh_token = access_token")

    with pytest.raises(ServerMisconfig):
        await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert house.provider.presented == []
    assert await status_of(house, connection) == (Status.SUSPECT, "unreadable")


async def test_a_repeated_refresh_request_spends_nothing(house: House) -> None:
    await house.connect()
    tokens = house.replica().tokens

    first = await tokens.refresh(store("shop-1"), "request-1")
    again = await tokens.refresh(store("shop-1"), "request-1")

    assert house.provider.refreshes == 1
    assert first.version == again.version


async def test_another_refresh_request_refreshes_again(house: House) -> None:
    await house.connect()
    tokens = house.replica().tokens

    await tokens.refresh(store("shop-1"), "request-1")
    await tokens.refresh(store("shop-1"), "request-2")

    assert house.provider.refreshes == 2


async def test_only_a_due_token_is_refreshed_when_due(house: House) -> None:
    connection = await house.connect(life=7200)
    tokens = house.replica().tokens
    early = await tokens.refresh_when_due(store("shop-1"), "early")
    await house.leave(connection, left=timedelta(minutes=59))

    late = await tokens.refresh_when_due(store("shop-1"), "late")

    assert (early[1], late[1]) == (False, True)
    assert house.provider.refreshes == 1


def test_pauses_grow_and_end_growing() -> None:
    assert pause_after(0) <= FIRST_PAUSE
    assert LONGEST_PAUSE / 2 <= pause_after(50) <= LONGEST_PAUSE
