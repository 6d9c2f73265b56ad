"""A refresh without an answer is repeated by whoever has the lease by then, and by nobody else."""

from collections.abc import Awaitable, Callable

import pytest

from libs.errors import ReauthRequired, UpstreamUnavailable
from libs.secret import Secret
from services.token.adapters.revocations import PostgresRevocations
from services.token.core.provider import NotSent, Refused, Unknown
from services.token.domain.connection import Connection
from services.token.domain.grant import Grant
from tests.token.conftest import House, store


@pytest.fixture
async def expired(house: House) -> Connection:
    """A connection that is due."""
    connection = await house.connect()
    await house.expire(connection)
    return connection


def cut_after(monkeypatch: pytest.MonkeyPatch, house: House, what: Callable[[], Awaitable[object]]) -> None:
    """Let the next refresh be lost on its way to TikTok, after something happened here."""
    refresh = house.provider.refresh

    async def cut(_token: Secret) -> Grant:
        monkeypatch.setattr(house.provider, "refresh", refresh)
        await what()
        raise Unknown("cut")

    monkeypatch.setattr(house.provider, "refresh", cut)


async def end_lease(house: House) -> None:
    await house.pool.execute("UPDATE connections SET lease_until = clock_timestamp() - interval '1 s'")


async def test_who_lost_the_lease_leaves_the_repeat_to_the_next(
    house: House, expired: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def next_takes_over() -> None:
        await end_lease(house)
        await house.replica("next").refresher.refresh(expired, house.need)

    cut_after(monkeypatch, house, next_takes_over)
    held = await house.replica("paused").refresher.refresh(expired, house.need)

    assert (held.connection.version.generation, held.connection.reason) == (2, "")
    assert (len(house.provider.presented), house.provider.dead_presented) == (1, [])


async def test_what_was_given_back_is_no_use_by_another_process(house: House, expired: Connection) -> None:
    house.provider.fail_before = [NotSent("no route"), Refused("invalid_grant")]
    with pytest.raises(UpstreamUnavailable):
        await house.replica("first").refresher.refresh(expired, house.need)
    await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")

    with pytest.raises(ReauthRequired):
        await house.replica("next").refresher.refresh(expired, house.need)


async def test_the_token_of_a_disconnected_connection_is_not_presented_again(
    house: House, expired: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    revocations = PostgresRevocations(pool=house.pool, replica="other")
    cut_after(monkeypatch, house, lambda: revocations.disconnect(store("shop-1")))

    with pytest.raises(ReauthRequired):
        await house.replica().refresher.refresh(expired, house.need)

    assert house.provider.presented == []


async def test_a_lease_that_ended_and_nobody_took_is_taken_again(
    house: House, expired: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_after(monkeypatch, house, lambda: end_lease(house))

    held = await house.replica().refresher.refresh(expired, house.need)

    assert (held.connection.version.generation, len(house.provider.presented)) == (2, 1)
