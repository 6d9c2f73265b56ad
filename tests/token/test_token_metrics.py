"""What the token service tells Prometheus: how refreshes end, what reads are answered with, and how it stands."""

import asyncio
import socket
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2

from libs.errors import StorageUnavailable
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import Mode
from services.token.adapters.metered import DOUBTS, OUTCOMES, DoubtMeter, MeteredRefresh, MeteredTokens, RefreshMeter
from services.token.adapters.standing import Standing
from services.token.core.breaker import FAILURES
from services.token.core.connections import Setback
from services.token.core.journal import Entry
from services.token.core.provider import AppRefused, Irrevocable, NotSent, Outcome, Refused, Unavailable, Unknown
from services.token.core.refresh import LEASE
from services.token.domain.connection import Provider, Status, Why
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import MINUTE, House, Replica, store
from tests.token.counting_provider import CountingProvider, QuickClock
from tests.token.rpc_client import Client, reference
from tests.token.test_journal_files import entry, hanging_disk, journal
from tests.token.token_process import environment, running

FRESH_FROM = "tokhub_token_reads_total"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def standing(house: House, replica: Replica, registry: CollectorRegistry) -> None:
    registry.register(
        Standing(
            providers=[Provider.LOGIN_KIT], breaker=house.breaker, refresher=replica.refresher, journal=house.journal
        )
    )


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (NotSent("no"), "not_sent"),
        (Unknown("cut"), "unknown"),
        (Refused("invalid_grant"), "refused"),
        (AppRefused("invalid_client"), "app_refused"),
        (Unavailable("503", retry_after=1, limited=False), "unavailable"),
        (Unavailable("429", retry_after=1, limited=True), "rate_limited"),
        (Irrevocable("not of a refresh"), "unexpected"),
    ],
)
async def test_every_end_of_a_refresh_has_its_class(registry: CollectorRegistry, outcome: Outcome, label: str) -> None:
    provider = CountingProvider()
    provider.fail_before = [outcome]
    metered = RefreshMeter(registry).around(Provider.LOGIN_KIT, provider)

    with pytest.raises(type(outcome)):
        await metered.refresh(provider.mint("someone").refresh_token)

    assert counted(registry) == {label: 1}


async def test_a_refresh_that_works_is_counted_and_timed(registry: CollectorRegistry) -> None:
    provider = CountingProvider()
    metered = RefreshMeter(registry).around(Provider.LOGIN_KIT, provider)

    await metered.refresh(provider.mint("someone").refresh_token)

    assert counted(registry) == {"refreshed": 1}
    assert registry.get_sample_value("tokhub_token_refresh_seconds_count", {"provider": "login_kit"}) == 1


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """The outcomes that were counted; all others are there with a zero."""
    found = {
        outcome: registry.get_sample_value(
            "tokhub_token_refreshes_total", {"provider": "login_kit", "outcome": outcome}
        )
        for outcome in OUTCOMES
    }
    assert None not in found.values()
    return {outcome: count for outcome, count in found.items() if count}


async def test_reads_are_counted_by_freshness_and_source(client: Client) -> None:
    await client.connect("shop-1")
    request = token_pb2.GetValidTokenRequest(connection=reference("shop-1"))

    await client.tokens.GetValidToken(request)
    await client.tokens.BatchGetValidTokens(token_pb2.BatchGetValidTokensRequest(requests=[request, request]))

    fresh_from_database = {"freshness": "fresh", "source": "database"}
    assert client.registry.get_sample_value(FRESH_FROM, fresh_from_database) == 3
    assert client.registry.get_sample_value(FRESH_FROM, {"freshness": "stale_but_valid", "source": "cache"}) == 0


class LivingChannel:
    """A channel of announcements that is never silent."""

    last_alive = float("inf")


async def test_a_read_from_memory_is_told_from_a_read_from_the_database(
    house: House, registry: CollectorRegistry
) -> None:
    await house.connect()
    replica = house.replica()
    replica.cache.listen_to(LivingChannel())
    tokens = MeteredTokens(replica.tokens, registry)

    for _ in range(3):
        await tokens.get_valid(store("shop-1"), MINUTE)

    cached, read = ({"freshness": "fresh", "source": source} for source in ("cache", "database"))
    assert registry.get_sample_value(FRESH_FROM, cached) == 2
    assert registry.get_sample_value(FRESH_FROM, read) == 1


async def test_a_token_kept_through_an_outage_counts_as_stale(house: House, registry: CollectorRegistry) -> None:
    await house.leave(await house.connect(), left=timedelta(seconds=30))
    house.provider.fail_before = [NotSent("no")]

    await MeteredTokens(house.replica().tokens, registry).get_valid(store("shop-1"), MINUTE)

    assert registry.get_sample_value(FRESH_FROM, {"freshness": "stale_but_valid", "source": "database"}) == 1


async def test_a_provider_that_is_left_alone_shows(house: House, registry: CollectorRegistry) -> None:
    standing(house, house.replica(), registry)
    seen = []
    for happening in (None, house.breaker.failed, *[house.breaker.failed] * (FAILURES - 1), house.breaker.answered):
        if happening:
            happening(Provider.LOGIN_KIT)
        seen.append(registry.get_sample_value("tokhub_token_provider_resting", {"provider": "login_kit"}))

    assert seen == [0] * FAILURES + [1, 0]


async def test_tokens_that_wait_for_the_database_show(
    house: House, registry: CollectorRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.expire(await house.connect())
    async with house.open_journal(tmp_path, "replica-1") as house.journal:
        replica = house.replica()
        standing(house, replica, registry)
        saves, allowed = replica.connections.save, asyncio.Event()

        async def save_later(*arguments: Any) -> bool:
            if not allowed.is_set():
                raise StorageUnavailable
            return await saves(*arguments)

        monkeypatch.setattr(replica.connections, "save", save_later)
        await replica.tokens.get_valid(store("shop-1"), MINUTE)
        waiting = registry.get_sample_value("tokhub_token_unsaved")
        allowed.set()
        await replica.refresher.drain()

    assert (waiting, registry.get_sample_value("tokhub_token_unsaved")) == (1, 0)


async def test_the_journal_tells_its_size(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    async with house.open_journal(tmp_path, "replica-1") as journal:
        keeping = asyncio.create_task(
            journal.keep(Entry.of(connection, connection.version, house.provider.mint("a"), QuickClock().now()))
        )
        await asyncio.sleep(0)
        pending = journal.size()
        await keeping
        size = journal.size()

        assert (pending.records, pending.pending) == (0, 1)
        assert (size.records, size.pending, size.bytes) == (1, 0, (tmp_path / "replica-1.journal").stat().st_size)


async def test_records_that_a_hanging_disk_cost_are_counted(
    house: House, registry: CollectorRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.token.adapters.journal.waiting.MOST", 1)
    monkeypatch.setattr("services.token.adapters.journal.journal.PATIENCE", 0.01)
    async with journal(tmp_path, mode=Mode.BEST_EFFORT) as house.journal:
        standing(house, house.replica(), registry)
        with hanging_disk():
            for number in (1, 2, 3):
                await house.journal.keep(entry(number))

            assert registry.get_sample_value("tokhub_token_journal_dropped_total") == 1


async def test_refreshes_ahead_of_need_show_while_they_last(house: House, registry: CollectorRegistry) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.gate.clear()
    metered = MeteredRefresh(house.replica().refresher, registry)
    flying = asyncio.create_task(metered.refresh(connection, house.need))
    await house.provider.arrived.wait()
    during = registry.get_sample_value("tokhub_token_background_refreshes_in_flight")
    house.provider.gate.set()
    await flying

    assert (during, registry.get_sample_value("tokhub_token_background_refreshes_in_flight")) == (1, 0)


async def test_rows_in_doubt_are_counted_by_why(house: House, registry: CollectorRegistry) -> None:
    connections = PostgresConnections(pool=house.pool, replica="replica-1", doubts=DoubtMeter(registry))
    damaged, old = await house.connect("shop-1"), await house.connect("shop-2")
    await house.expire(old)
    lease = await connections.claim(old.id, house.need, lease=LEASE)
    assert lease

    await connections.give_back(lease, Setback(pause=0, status=Status.SUSPECT, reason=Why.PUT_BACK))
    for _ in range(2):
        await connections.suspect(damaged.id, damaged.version, [])

    doubts = {why: registry.get_sample_value("tokhub_token_doubts_total", {"why": why}) for why in DOUBTS}
    assert doubts == {"lost_response": 0, "holder_missing": 0, "put_back": 1, "unreadable": 1}


async def test_a_serving_process_tells_all_of_it(token_dsn: str, sandbox: SandboxProcess) -> None:
    port = free_port()
    async with running(environment(token_dsn, sandbox) | {"TOKEN_METRICS_PORT": str(port)}):
        body = await asyncio.to_thread(scrape, port)

    names = ["reads_total", "refreshes_total", "double_spends_total", "provider_resting", "unsaved", "journal_bytes"]
    names += ["doubts_total", "only_in_memory"]
    assert [name for name in names if f"tokhub_token_{name}" not in body] == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
