"""A database that went back in time, or was not there, is made whole from the journal."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from libs.clock import SystemClock
from libs.errors import ReauthRequired, StorageUnavailable
from libs.secret import Secret
from services.token.adapters import restoring
from services.token.adapters.journal.journal import FileJournal
from services.token.adapters.login_kit_events import LoginKitEvents
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.restoring import PostgresReplay
from services.token.core.journal import Entry, replay, settle
from services.token.core.provider_events import ProviderEvents
from services.token.domain.connection import ById, Connection, Provider, Status
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import MINUTE, House, other_than, store
from tests.token.counting_provider import QuickClock
from tests.token.event_sender import login_header, removed


@pytest.fixture
async def journal(house: House, tmp_path: Path) -> AsyncIterator[FileJournal]:
    async with house.open_journal(tmp_path, "replica-1") as one:
        house.journal = one
        yield one


def rows(house: House) -> PostgresReplay:
    return PostgresReplay(pool=house.pool, vault=house.vault)


async def yesterday(house: House) -> None:
    await house.pool.execute("CREATE TABLE yesterday AS SELECT * FROM connections")


async def back_to_yesterday(house: House) -> None:
    await house.pool.execute("DELETE FROM connections")
    await house.pool.execute("INSERT INTO connections OVERRIDING SYSTEM VALUE SELECT * FROM yesterday")


async def found(house: House, connection: Connection) -> Connection:
    held = await house.replica().connections.find(ById(id=connection.id))
    assert held is not None
    return held.connection


async def test_a_database_restored_from_yesterday_gets_todays_tokens_back(house: House, journal: FileJournal) -> None:
    connection = await house.connect()
    await yesterday(house)
    replica = house.replica()
    tokens = replica.tokens
    for request in ("one", "two", "three"):
        await tokens.refresh(store("shop-1"), request)
        await replica.refresher.drain()
    await back_to_yesterday(house)

    assert await replay(await journal.entries(), rows(house)) == 1

    assert (await found(house, connection)).version.generation == 4
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))
    assert (await tokens.get_valid(store("shop-1"), MINUTE)).fresh


async def test_a_restored_connection_still_says_that_it_may_do_less(house: House, journal: FileJournal) -> None:
    connection = await house.connect()
    await yesterday(house)
    house.provider.bend = lambda grant: replace(grant, scopes=("user.info.basic",))
    replica = house.replica()
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()
    await back_to_yesterday(house)

    await replay(await journal.entries(), rows(house))

    now = await found(house, connection)
    assert (now.reason, now.scopes) == ("scope_reduced", ("user.info.basic",))


async def test_what_a_machine_with_a_wrong_clock_kept_ends_when_it_ends(
    house: House, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickClock, "now", lambda clock: SystemClock.now(clock) + timedelta(minutes=10))
    connection = await house.connect()
    await yesterday(house)
    replica = house.replica()
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()
    saved = await found(house, connection)
    await back_to_yesterday(house)

    assert await replay(await journal.entries(), rows(house)) == 1
    restored = await found(house, connection)
    assert abs(restored.access_expires_at - saved.access_expires_at) < timedelta(minutes=1)


async def test_replaying_again_changes_nothing(house: House, journal: FileJournal) -> None:
    await house.connect()
    replica = house.replica()
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()

    assert [await replay(await journal.entries(), rows(house)) for _ in range(2)] == [0, 0]


async def test_a_connection_the_database_never_knew_is_restored(house: House, journal: FileJournal) -> None:
    connection = await house.connect()
    replica = house.replica()
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()
    await house.pool.execute("DELETE FROM connections")

    assert await replay(await journal.entries(), rows(house)) == 1
    assert (await found(house, connection)).status is Status.ACTIVE


async def test_a_newer_connect_is_not_undone(house: House, journal: FileJournal) -> None:
    await house.connect(account="same account")
    await house.replica().tokens.refresh(store("shop-1"), "one")
    newer = await house.connect(account="same account")

    assert await replay(await journal.entries(), rows(house)) == 0
    assert (await found(house, newer)).version == newer.version


async def test_a_journaled_disconnect_is_carried_out_again(house: House) -> None:
    connection = await house.connect()
    gone = Entry.of(connection, connection.version.connected(), None, QuickClock().now())

    assert await replay([gone], rows(house)) == 1
    assert (await found(house, connection)).status is Status.DISCONNECTED


async def test_a_removal_that_tiktok_told_outlives_a_restored_database(house: House, journal: FileJournal) -> None:
    connection = await house.connect()
    await yesterday(house)
    reader = LoginKitEvents(secret=Secret(SandboxProcess.client_secret))
    rows_of_events = PostgresProviderEvents(pool=house.pool, replica="replica-1")
    events = ProviderEvents(readers={Provider.LOGIN_KIT: reader}, rows=rows_of_events, journal=journal)
    body = removed(connection.account_id)
    await events.handle(Provider.LOGIN_KIT, body, login_header(body))
    await back_to_yesterday(house)

    await replay(await journal.entries(), rows(house))

    assert (await found(house, connection)).status == Status.DISCONNECTED


async def test_an_entry_whose_account_has_moved_is_left_out(house: House, journal: FileJournal) -> None:
    first = await house.connect("shop-1", account="the account")
    replica = house.replica()
    await replica.tokens.refresh(store("shop-1"), "one")
    await replica.refresher.drain()
    await house.pool.execute("DELETE FROM connections")
    await house.connect("shop-2", account="the account")

    assert await replay(await journal.entries(), rows(house)) == 0
    assert await house.replica().connections.find(ById(id=first.id)) is None


@pytest.mark.usefixtures("journal")
async def test_callers_are_answered_while_the_database_refuses_the_save(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    await house.expire(connection)
    replica = house.replica()
    saves = replica.connections.save
    allowed = asyncio.Event()

    async def save_later(*arguments: Any) -> bool:
        if not allowed.is_set():
            raise StorageUnavailable
        return await saves(*arguments)

    monkeypatch.setattr(replica.connections, "save", save_later)

    valid = await replica.tokens.get_valid(store("shop-1"), MINUTE)
    assert (valid.fresh, (await found(house, connection)).version.generation) == (True, 1)

    again = await replica.tokens.get_valid(store("shop-1"), other_than(1))
    assert again.access_token == valid.access_token

    allowed.set()
    await replica.refresher.drain()
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_a_process_that_died_before_its_save_is_made_up_for(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    grant = house.provider.mint("account of shop-1")
    async with house.open_journal(tmp_path, "died") as died:
        await died.keep(Entry.of(connection, connection.version.refreshed(), grant, QuickClock().now()))

    async with house.open_journal(tmp_path, "heir") as heir, heir.taking_over() as inheritance:
        await settle(inheritance, rows(house))

    assert grant.refresh_token == await house.stored_refresh_token(connection.id)


async def test_an_answer_that_died_with_its_process_is_named_and_tried_once(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    need_met = await house.replica("dead").connections.claim(connection.id, house.need, lease=45)
    assert need_met is not None
    await house.provider.refresh(await house.stored_refresh_token(connection.id))

    assert await rows(house).resolve_intents(["dead"]) == 1
    with pytest.raises(ReauthRequired) as caught:
        await house.replica("heir").tokens.get_valid(store("shop-1"), MINUTE)

    assert caught.value.metadata["why"] == "lost_response"
    assert len(house.provider.dead_presented) == 1


async def test_the_token_of_a_call_that_was_never_sent_still_works(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    assert await house.replica("dead").connections.claim(connection.id, house.need, lease=45)
    await rows(house).resolve_intents(["dead"])

    assert (await house.replica("heir").tokens.get_valid(store("shop-1"), MINUTE)).fresh


async def test_another_processs_open_call_is_left_alone_while_the_token_lasts(house: House) -> None:
    connection = await house.connect()
    await house.leave(connection, left=timedelta(minutes=30))
    due = replace(house.need, min_ttl=3600)
    assert await house.replica("paused").connections.claim(connection.id, due, lease=0)

    assert await house.replica("other").connections.claim(connection.id, due, lease=45) is None


async def test_a_refused_token_that_another_process_presented_waits_for_its_answer(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    assert await house.replica("paused").connections.claim(connection.id, house.need, lease=0)
    await house.provider.refresh(await house.stored_refresh_token(connection.id))
    with pytest.raises(Exception, match="its answer is waited for"):
        await house.replica("other").tokens.get_valid(store("shop-1"), MINUTE)
    assert (await found(house, connection)).reason == "holder_missing"
    await house.pool.execute("UPDATE connections SET next_attempt_at = NULL")

    with pytest.raises(ReauthRequired):
        await house.replica("other").tokens.get_valid(store("shop-1"), MINUTE)

    assert len(house.provider.dead_presented) == 1


async def test_a_replay_touches_only_what_may_be_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "AT_ONCE", 2)
    connections = [await house.connect(f"shop-{number}") for number in range(5)]
    entries = [Entry.of(one, one.version, house.provider.mint("x"), one.read_at) for one in connections]
    newer = replace(entries[3], version=connections[3].version.refreshed())
    gone = replace(entries[4], connection_id=uuid4(), grant=None)

    found = await rows(house).behind([*entries[:3], newer, gone])

    assert found == [newer, gone]
