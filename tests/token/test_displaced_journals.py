"""A journal that is deleted or moved away while its process runs: it is noticed, and nothing that it held is lost."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cli.checks.finding import Finding, Level
from cli.checks.suite import PATIENCE, REMEDIES, check_health
from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.rpc.health import serves
from libs.vault.ring import KeyRing
from services.token.adapters.journal import journal as journal_module
from services.token.adapters.journal.entries import read_entry
from services.token.adapters.journal.journal import Mode
from services.token.adapters.journal.records import read_bodies
from services.token.core.journal import Entry
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import KEY, House
from tests.token.counting_provider import QuickClock
from tests.token.test_journal_files import RING, entry, journal, names
from tests.token.test_sight import REJECTED, keeping
from tests.token.test_token_processes import ask, connect, expire_all, run_sql
from tests.token.token_process import FREE_DISK, FULL_DISK, environment, running


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every question whether a journal is ready look for its file."""
    monkeypatch.setattr(journal_module, "CHECK_EVERY", 0.0)


def found(path: Path, ring: KeyRing = RING) -> list[int]:
    """Return the connections that a process which starts now would find in a file."""
    return [read_entry(body).connection_id.int for body in read_bodies(path, ring)]


async def test_an_entry_kept_in_a_deleted_file_is_written_anew_with_all_before(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        await one.keep(entry(1))
        (tmp_path / "one.journal").unlink()

        assert await one.keep(entry(2))

        assert found(tmp_path / "one.journal") == [1, 2]


async def test_a_deleted_directory_is_made_again_before_a_refresh(tmp_path: Path) -> None:
    async with journal(tmp_path / "journal") as one:
        await one.keep(entry(1))
        shutil.rmtree(tmp_path / "journal")
        with capture_logs() as logs:
            assert await one.ready()

        assert found(tmp_path / "journal" / "one.journal") == [1]
    assert logs[0]["event"] == "journal was deleted or moved away: it has been written anew"


async def test_a_directory_that_was_moved_leaves_a_journal_in_its_place(tmp_path: Path) -> None:
    async with journal(tmp_path / "journal") as one:
        await one.keep(entry(1))
        (tmp_path / "journal").rename(tmp_path / "elsewhere")
        assert await one.keep(entry(2))

    assert found(tmp_path / "journal" / "one.journal") == [1, 2]


async def test_another_file_under_its_name_is_replaced(tmp_path: Path) -> None:
    async with journal(tmp_path) as one:
        await one.keep(entry(1))
        (tmp_path / "one.journal").unlink()
        (tmp_path / "one.journal").touch()
        assert await one.ready()

    assert found(tmp_path / "one.journal") == [1]


def bar(directory: Path) -> None:
    """Take a journal's directory away so that it cannot be made again."""
    shutil.rmtree(directory)
    directory.touch()


@pytest.mark.parametrize(("mode", "may_refresh"), [(Mode.REQUIRED, False), (Mode.BEST_EFFORT, True)])
async def test_a_journal_without_a_place_stops_refreshes_as_its_mode_says(
    tmp_path: Path, mode: Mode, *, may_refresh: bool
) -> None:
    directory = tmp_path / "journal"
    async with journal(directory, mode=mode) as one:
        await one.keep(entry(1))
        bar(directory)
        with capture_logs() as logs:
            assert await one.ready() is may_refresh
            assert not await one.keep(entry(2))

        directory.unlink()
        assert await one.ready()
        assert found(directory / "one.journal")[0] == 1
    assert logs[0]["event"] == "journal cannot be written"


async def test_a_displaced_journal_on_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError

    async with journal(tmp_path) as one:
        (tmp_path / "one.journal").unlink()
        with monkeypatch.context() as disk:
            disk.setattr("os.fdatasync", full)
            assert not await one.ready()

        assert not any(name.endswith(".new") for name in names(tmp_path))
        assert await one.ready()


async def test_a_failure_that_nobody_foresaw_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_body: bytes) -> Entry:
        raise LookupError

    async with journal(tmp_path) as one:
        await one.keep(entry(1))
        (tmp_path / "one.journal").unlink()
        with monkeypatch.context() as broken:
            broken.setattr(journal_module, "read_entry", fail)
            async with asyncio.timeout(10):
                assert not await one.keep(entry(2))

        assert await one.ready()


async def test_who_takes_over_next_waits_for_its_turn_in_the_new_directory(tmp_path: Path) -> None:
    async with journal(tmp_path / "journal") as one:
        shutil.rmtree(tmp_path / "journal")
        await one.ready()
        async with one.taking_over(), journal(tmp_path / "journal", "two") as two:
            assert not two._turn.take()


async def test_a_deleted_journal_is_written_anew_though_nothing_is_refreshed(house: House, tmp_path: Path) -> None:
    async with keeping(house, tmp_path):
        connection = await house.connect()
        await house.replica().refresher.refresh(connection, REJECTED)
        (tmp_path / "replica-1.journal").unlink()
        async with asyncio.timeout(10):
            while not (tmp_path / "replica-1.journal").exists():
                await QuickClock().sleep(0.01)

        assert found(tmp_path / "replica-1.journal", KeyRing({"k1": KEY}, active="k1")) == [connection.id.int]


async def test_a_process_killed_after_its_journal_was_deleted_loses_nothing(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    environ = environment(token_dsn, sandbox, tmp_path / "journal")
    async with running(environ) as service:
        account = await connect(service, sandbox, "shop-1")
        await expire_all(token_dsn)
        await run_sql(token_dsn, FULL_DISK)
        shutil.rmtree(tmp_path / "journal")
        answered = (await ask(service, "shop-1", 1))[0]
        service.process.kill()
    await run_sql(token_dsn, FREE_DISK)

    async with running(environ) as heir:
        found_again = (await ask(heir, "shop-1", 1))[0]

    assert (answered.generation, found_again.access_token) == (2, answered.access_token)
    assert sandbox.ledger(account)["grants"][0]["dead_refresh_tokens_presented"] == 0


async def test_what_a_dead_process_had_not_finished_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "died.0.new").write_bytes(b"half")
    async with journal(tmp_path) as one, one.taking_over() as inheritance:
        pass

    assert not inheritance.dead
    assert not (tmp_path / "died.0.new").exists()


async def test_what_a_living_process_is_about_to_finish_is_left_alone(tmp_path: Path) -> None:
    async with journal(tmp_path) as one, journal(tmp_path, "two") as two:
        fresh = two._new_file()
        async with one.taking_over():
            pass
        fresh.publish()
        fresh.close()

        assert (tmp_path / "two.journal").exists()


async def test_without_a_place_for_its_journal_a_service_serves_and_tells(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    directory = tmp_path / "journal"
    async with running(environment(token_dsn, sandbox, directory)) as service, open_channel(service.target) as channel:

        async def told(level: Level) -> Sequence[Finding]:
            while True:
                findings = await check_health("token service", channel, service.target, parts=tuple(REMEDIES))
                if findings[0].level is level:
                    return findings
                await SystemClock().sleep(0.1)

        async with asyncio.timeout(60):
            await told(Level.GOOD)
            bar(directory)
            # The first look at other journals, soon after the start, may meet the barred directory too.
            while len(findings := await told(Level.BAD)) > 1:
                directory.unlink()
                await told(Level.GOOD)
                bar(directory)
            assert findings[0].says == "cannot use its journal disk."
            assert await serves(channel, patience=PATIENCE)
            directory.unlink()
            await told(Level.GOOD)
