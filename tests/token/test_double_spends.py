"""A refresh token that somebody else may have spent is noticed and told: counted, logged and in the timeline."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from libs.errors import ReauthRequired, TokhubError, UpstreamUnavailable
from services.token.adapters.alarm import Alarm
from services.token.adapters.restoring import PostgresReplay
from services.token.core.connections import Lease
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.journal import Entry, settle
from services.token.core.provider import Refused, Unknown
from services.token.domain.connection import Connection
from services.token.domain.timeline import REASONS, DoubleSpend
from tests.token.conftest import MINUTE, House, store
from tests.token.counting_provider import QuickClock
from tests.token.rpc_client import Client
from tests.token.test_explain_connection import explain, refresh


async def told(house: House) -> list[str]:
    rows = await house.pool.fetch("SELECT reason FROM connection_events WHERE kind = 'DOUBLE_SPEND' ORDER BY id")
    return [row["reason"] for row in rows]


async def ask(house: House, replica: str = "replica-1") -> None:
    """Need a token now, whatever was put off."""
    await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")
    await house.replica(replica).tokens.get_valid(store("shop-1"), MINUTE)


async def expired(house: House) -> Connection:
    connection = await house.connect()
    await house.expire(connection)
    return connection


async def test_a_token_spent_by_another_system_is_told(house: House) -> None:
    connection = await expired(house)
    await house.provider.refresh(await house.stored_refresh_token(connection.id))

    with pytest.raises(ReauthRequired):
        await ask(house)

    assert await told(house) == ["refused_while_current"]


async def test_a_consent_that_ran_out_is_no_double_spend(house: House) -> None:
    await expired(house)
    await house.pool.execute("UPDATE connections SET refresh_expires_at = now()")
    house.provider.fail_before = [Refused("invalid_grant")]

    with pytest.raises(ReauthRequired):
        await ask(house)

    assert await told(house) == []


async def test_a_rotation_whose_answer_was_lost_is_no_double_spend(house: House) -> None:
    await expired(house)
    house.provider.fail_after = [Unknown("cut")]

    with pytest.raises(ReauthRequired):
        await ask(house)

    assert await told(house) == []


async def test_ordinary_refreshes_sound_no_alarm(house: House) -> None:
    connection = await expired(house)
    for _ in range(3):
        await asyncio.gather(*(ask(house, f"replica-{n}") for n in range(3)))
        await house.expire(connection)

    assert await told(house) == []


async def test_a_token_that_went_out_again_and_again_is_told_once(house: House) -> None:
    await expired(house)
    seen = []
    house.provider.fail_before = [Unknown("cut") for _ in range(5)]
    for _ in range(4):
        with pytest.raises(UpstreamUnavailable):
            await ask(house)
        seen.append(await told(house))

    assert seen == [[], [], ["presented_too_often"], ["presented_too_often"]]


async def test_a_token_presented_after_its_successor_came_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await expired(house)
    slow = house.replica("slow")
    claim = slow.connections.claim

    async def claim_then_fall_behind(*arguments: Any, **named: Any) -> object:
        lease = await claim(*arguments, **named)
        await house.pool.execute("UPDATE connections SET lease_until = NULL")
        await ask(house, "quick")
        return lease

    monkeypatch.setattr(slow.connections, "claim", claim_then_fall_behind)

    await slow.tokens.get_valid(store("shop-1"), MINUTE)

    assert await told(house) == ["superseded_presented"]


async def test_two_answers_for_one_token_are_told(house: House) -> None:
    connection = await expired(house)
    house.provider.gate.clear()
    late = asyncio.create_task(ask(house, "late"))
    await house.provider.arrived.wait()
    lease = await claimed_again(house, connection)
    grant = house.provider.mint("account of shop-1")
    await house.replica("quick").connections.save(
        lease, grant, house.vault.seal(grant, connection.id, lease.version.refreshed())
    )

    house.provider.gate.set()
    await late

    assert await told(house) == ["answers_differ"]


async def claimed_again(house: House, connection: Connection) -> Lease:
    await house.pool.execute("UPDATE connections SET lease_until = NULL, intent_at = now() - interval '1 h'")
    lease = await house.replica("quick").connections.claim(connection.id, house.need, lease=45)
    assert lease is not None
    return lease


async def test_a_reconnect_during_a_refresh_is_no_double_spend(house: House) -> None:
    await expired(house)
    house.provider.gate.clear()
    late = asyncio.create_task(ask(house, "late"))
    await house.provider.arrived.wait()
    await house.connect()

    house.provider.gate.set()
    await late

    assert await told(house) == []


async def inherit(house: House, directory: Path) -> None:
    """Start a replica after others have died."""
    rows = PostgresReplay(pool=house.pool, vault=house.vault)
    alarm = Alarm(pool=house.pool, replica="heir", registry=CollectorRegistry())
    watch = DoubleSpendWatch(rows=house.replica().connections, vault=house.vault, alarm=alarm)
    async with house.open_journal(directory, "heir") as journal:
        async with journal.taking_over() as inheritance:
            await settle(inheritance, rows)
        await watch.inherited(inheritance)


@pytest.mark.parametrize(("journals", "expected"), [(1, []), (2, ["answers_differ"])])
async def test_journals_that_contradict_each_other_are_told(
    house: House, tmp_path: Path, journals: int, expected: list[str]
) -> None:
    connection = await house.connect()
    for number in range(journals):
        grant = house.provider.mint("account of shop-1")
        async with house.open_journal(tmp_path, f"died-{number}") as journal:
            await journal.keep(Entry.of(connection, connection.version.refreshed(), grant, QuickClock().now()))

    await inherit(house, tmp_path)

    assert await told(house) == expected


async def test_a_journal_that_contradicts_the_database_is_told(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    grant = house.provider.mint("account of shop-1")
    async with house.open_journal(tmp_path, "died") as journal:
        await journal.keep(Entry.of(connection, connection.version, grant, QuickClock().now()))

    await inherit(house, tmp_path)

    assert await told(house) == ["answers_differ"]


async def test_an_alarm_is_counted_and_logged_without_a_secret(house: House) -> None:
    connection = await house.connect()
    registry = CollectorRegistry()
    alarm = Alarm(pool=house.pool, replica="replica-1", registry=registry)
    assert registry.get_sample_value("tokhub_token_double_spends_total", {"what": "answers_differ"}) == 0

    with capture_logs() as lines:
        await alarm.sound(DoubleSpend.ANSWERS_DIFFER, connection.id, connection.version)

    assert registry.get_sample_value("tokhub_token_double_spends_total", {"what": "answers_differ"}) == 1
    assert [(line["log_level"], line["connection"]) for line in lines] == [("error", str(connection.id))]
    assert not [token for token in ("act.", "rft.") if token in str(lines)]


async def test_an_alarm_without_a_database_is_counted_all_the_same(house: House) -> None:
    connection = await house.connect()
    registry = CollectorRegistry()
    await house.pool.execute("ALTER TABLE connection_events RENAME TO gone")

    await Alarm(pool=house.pool, replica="replica-1", registry=registry).sound(
        DoubleSpend.ANSWERS_DIFFER, connection.id, connection.version
    )

    assert registry.get_sample_value("tokhub_token_double_spends_total", {"what": "answers_differ"}) == 1


async def test_a_double_spend_is_explained_in_words(client: Client) -> None:
    account = client.sandbox.next_account()
    await client.connect("shop-1", account)
    client.sandbox.control.post(f"/sandbox/accounts/{account}/revoke").raise_for_status()
    with pytest.raises(TokhubError):
        await refresh(client, "r1")

    explanation = await explain(client)

    assert "another system may be using it" in explanation.timeline[0].message


def test_every_double_spend_has_words() -> None:
    assert set(DoubleSpend) <= set(REASONS)
