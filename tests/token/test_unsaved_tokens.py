"""Tokens that neither the journal nor the database takes: the process stays for them, and names what it must lose."""

import asyncio
import json
import resource
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from libs.clock import SystemClock
from libs.errors import StorageUnavailable
from services.token.adapters.journal import journal as journal_module
from services.token.adapters.journal.file import JournalFile
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import MINUTE, House, other_than, store
from tests.token.test_journal_files import hanging_disk, raise_full
from tests.token.test_stopped_process import connect_expired, until_presented
from tests.token.test_token_processes import ask, run_sql
from tests.token.token_process import FREE_DISK, FULL_DISK, TokenProcess, environment, running

TOLD = "told to stop while tokens are in memory alone: free the journal's disk or bring the database back"


def journal_size(directory: Path) -> int:
    return max(path.stat().st_size for path in directory.glob("*.journal"))


def limit_files(service: TokenProcess, largest: int) -> None:
    """Let no file of a process grow beyond so many bytes."""
    hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (largest, hard))


async def until_said(service: TokenProcess, message: str) -> None:
    assert service.process.stdout
    async for line in service.process.stdout:
        if json.loads(line)["msg"] == message:
            return
    raise AssertionError(message)


async def stop_with_unsaved_tokens(service: TokenProcess, dsn: str, sandbox: SandboxProcess, directory: Path) -> None:
    """Let TikTok give tokens that nothing can save, and tell the process to stop."""
    accounts = await connect_expired(service, dsn, sandbox, "shop-1")
    asking = asyncio.create_task(ask(service, "shop-1", 1))
    await until_presented(sandbox, accounts, 1)
    await run_sql(dsn, FULL_DISK)
    limit_files(service, journal_size(directory) + 10)
    await until_said(service, "new tokens wait for the database")
    assert not asking.done()
    service.process.terminate()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_what_must_be_lost_is_named_at_the_end(token_dsn: str, sandbox: SandboxProcess, tmp_path: Path) -> None:
    environ = environment(token_dsn, sandbox, tmp_path) | {"STOP_GRACE_SECONDS": "5"}
    async with running(environ) as service:
        await stop_with_unsaved_tokens(service, token_dsn, sandbox, tmp_path)
        output, said = await service.process.communicate()

    told = [line["connections"] for line in map(json.loads, output.splitlines()) if line["msg"] == TOLD]
    assert (service.process.returncode, len(told) >= 2) == (74, True)
    assert f"have to be connected again: {told[0][0]}\n" in said.decode()
    assert b"rft." not in output + said


async def test_a_stopped_process_ends_when_the_database_is_back(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    environ = environment(token_dsn, sandbox, tmp_path)
    async with running(environ) as service:
        await stop_with_unsaved_tokens(service, token_dsn, sandbox, tmp_path)
        await run_sql(token_dsn, FREE_DISK)
        status = await service.end()

    async with running(environ) as heir:
        assert (status, (await ask(heir, "shop-1", 1))[0].generation) == (0, 2)


async def test_a_stopped_process_journals_as_soon_as_its_disk_is_freed(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    environ = environment(token_dsn, sandbox, tmp_path)
    async with running(environ) as service:
        await stop_with_unsaved_tokens(service, token_dsn, sandbox, tmp_path)
        full = journal_size(tmp_path)
        limit_files(service, resource.RLIM_INFINITY)
        async with asyncio.timeout(30):
            while journal_size(tmp_path) == full:
                await SystemClock().sleep(0.05)
        service.process.kill()
    await run_sql(token_dsn, FREE_DISK)

    async with running(environ) as heir:
        assert (await ask(heir, "shop-1", 1))[0].generation == 2


async def test_callers_are_answered_once_a_full_journal_takes_the_tokens(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> bool:
        raise StorageUnavailable

    connection = await house.connect()
    await house.expire(connection)
    async with house.open_journal(tmp_path, "replica-1") as house.journal:
        replica = house.replica()
        monkeypatch.setattr(replica.connections, "save", refuse)
        with monkeypatch.context() as full:
            full.setattr(JournalFile, "append", raise_full)
            asking = asyncio.create_task(replica.tokens.get_valid(store("shop-1"), MINUTE))
            await asyncio.wait({asking}, timeout=0.5)
            assert (asking.done(), replica.refresher.only_here) == (False, [connection.id])

        async with asyncio.timeout(10):
            assert (await asking).fresh
        assert replica.refresher.only_here == []
        replica.refresher.give_up()
        await replica.refresher.drain()


async def test_new_tokens_are_saved_while_the_disk_of_the_journal_hangs(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PATIENCE", 0.05)
    connection = await house.connect()
    await house.expire(connection)
    async with house.open_journal(tmp_path, "replica-1") as house.journal:
        with hanging_disk():
            async with asyncio.timeout(10):
                valid = await house.replica().tokens.get_valid(store("shop-1"), MINUTE)
            assert (valid.fresh, valid.connection.version.generation) == (True, 2)

            with pytest.raises(StorageUnavailable, match="journal cannot be written"):
                await house.replica("other").tokens.get_valid(store("shop-1"), other_than(2))


async def test_a_token_that_could_not_be_saved_is_not_served_after_its_end(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.provider.life = 1
    async with house.open_journal(tmp_path, "replica-1") as house.journal:
        await house.expire(await house.connect())
        replica = house.replica()
        with monkeypatch.context() as full:
            full.setattr(replica.connections, "save", AsyncMock(side_effect=StorageUnavailable))
            first = await replica.tokens.get_valid(store("shop-1"), MINUTE)
            await asyncio.sleep(1.1)
            with pytest.raises(StorageUnavailable, match="cannot be saved yet"):
                await replica.tokens.get_valid(store("shop-1"), MINUTE)
        await replica.refresher.drain()

    assert first.fresh
