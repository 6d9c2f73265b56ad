import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from cli.commands import watching
from tests.cli.operator_seat import STORES, OperatorSeat
from tests.suite.local_suite import free_ports

BAR = re.compile(r"refresh tokens\s+━+ +4/4 +0 failed")
DONE = re.compile(rf"SUCCEEDED: {STORES} of {STORES} stores succeeded, 0 failed, 0 skipped; \d+ videos")
PATIENCE = 60.0
NO_RUN = "00000000-0000-0000-0000-000000000000"


class Terminal:
    """A terminal of 140 columns in which one command runs."""

    def __init__(self, seat: OperatorSeat, *arguments: str) -> None:
        self._screen, inner = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            seat.command(*arguments),
            cwd=seat.home.path,
            env={**seat.environment, "TERM": "xterm-256color", "COLUMNS": "140"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def until(self, words: re.Pattern[str]) -> str:
        """Read on until the words are there; return all that was seen, without the signs that move and colour."""
        deadline = time.monotonic() + PATIENCE
        while not words.search(self.seen):
            ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not seen within {PATIENCE:.0f} s: {words.pattern}\n{self.seen}"
            try:
                read = os.read(self._screen, 65_536)
            except OSError:  # the other end is closed
                read = b""
            assert read, f"ended without {words.pattern}\n{self.seen}"
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read.decode(errors="replace"))
        return self.seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._screen)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started hears Ctrl-C, as from a terminal, even if these tests are run in the background and do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_bar_moves_on_a_terminal_until_the_run_is_done(seat: OperatorSeat) -> None:
    terminal = Terminal(seat, "sync", "run")
    try:
        terminal.until(DONE)
        assert terminal.process.wait(PATIENCE) == 0
    finally:
        terminal.close()
    assert BAR.search(terminal.seen)
    assert re.search(r"video\s+━+", terminal.seen)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_the_run_to_itself(seat: OperatorSeat) -> None:
    seat.fault("latency", seconds=60, count=None, endpoint="user", open_id=seat.account_of("store_0001"))
    terminal = Terminal(seat, "sync", "run", "--job", "user", "--store", "store_0001")
    try:
        terminal.until(re.compile(r"user\s+━+"))
        terminal.process.send_signal(signal.SIGINT)
        said = terminal.until(re.compile(r"`tokhub sync watch [0-9a-f-]{36}` follows it again"))
        assert terminal.process.wait(PATIENCE) == 130
        assert "Traceback" not in said
        run = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", said)[-1]
        assert seat.json("sync", "status", run)["run"]["state"] in ("RUN_STATE_QUEUED", "RUN_STATE_RUNNING")
        assert seat.says("sync", "cancel", run).startswith(f"Run {run}: user for store_0001, CANCELLED")
    finally:
        terminal.close()
        seat.sandbox.delete("/sandbox/faults").raise_for_status()
    assert seat.says("sync", "cancel", run).startswith("Nothing was cancelled: the run had ended before.")
    watched = seat.run("sync", "watch", run)
    assert (watched.returncode, watched.stdout.splitlines()[-1].partition(":")[0]) == (1, "CANCELLED")


def test_a_watcher_outlives_the_death_of_the_service(seat: OperatorSeat) -> None:
    seat.fault("latency", seconds=60, count=None, endpoint="user", open_id=seat.account_of("store_0002"))
    run = seat.json("sync", "run", "--job", "user", "--store", "store_0002", "--detach")["id"]
    terminal = Terminal(seat, "sync", "watch", run)
    try:
        terminal.until(re.compile(r"user\s+━+"))
        os.kill(seat.home.pid("sync"), signal.SIGKILL)
        terminal.until(re.compile(rf"Nothing is told of run {run} now: waiting up to 60 s for the sync service\."))
        deadline = time.monotonic() + PATIENCE
        while seat.run("sync", "cancel", run).returncode and time.monotonic() < deadline:
            time.sleep(0.2)
        said = terminal.until(re.compile(r"CANCELLED: 0 of 1 stores"))
        assert (terminal.process.wait(PATIENCE), said.count("Nothing is told")) == (1, 1)
    finally:
        terminal.close()
        seat.sandbox.delete("/sandbox/faults").raise_for_status()


def test_a_watcher_that_gives_up_says_how_to_watch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNC_TARGET", f"127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setattr(watching, "PATIENCE", 0.0)
    with pytest.raises(typer.Exit) as ended:
        watching.watch_to_end(NO_RUN, as_json=True)
    said = capsys.readouterr().err
    assert ended.value.exit_code == 75
    assert f"Run {NO_RUN} can no longer be followed: " in said
    assert f"Run {NO_RUN} goes on without you.\n`tokhub sync watch {NO_RUN}` follows it again" in said


def test_a_run_is_told_line_by_line_to_programs(seat: OperatorSeat) -> None:
    said = seat.says("sync", "run", "--job", "video", "--store", "store_0002", "--json")
    lines = [json.loads(line) for line in said.splitlines()]
    assert (lines[-1]["state"], lines[-1]["succeeded"]) == ("RUN_STATE_SUCCEEDED", "1")
    assert [one["storeCode"] for line in lines for one in line["endedStores"]] == ["store_0002"]


def test_a_store_that_fails_is_named_with_its_reason(seat: OperatorSeat) -> None:
    account = seat.account_of("store_0003")
    seat.fault("error", endpoint="user", open_id=account, code="invalid_params", status="native", count=None)
    try:
        ended = seat.run("sync", "run", "--job", "user", "--store", "store_0003")
    finally:
        seat.sandbox.delete("/sandbox/faults").raise_for_status()
    assert ended.returncode == 1
    assert re.search(r"^store_0003: [A-Z_]+: ", ended.stdout, re.MULTILINE)
    assert "FAILED: 0 of 1 stores succeeded, 1 failed" in ended.stdout


def test_what_was_started_and_left_can_be_found_again(seat: OperatorSeat) -> None:
    begun = seat.json("sync", "run", "--job", "user", "--detach")
    assert seat.run("sync", "watch", begun["id"]).returncode == 0
    assert f"Run {begun['id']}: user for all stores, SUCCEEDED" in seat.says("sync", "status", begun["id"])
    assert any(line.startswith(begun["id"]) for line in seat.says("sync", "status").splitlines())
    assert "sync_user_daily" in seat.says("sync", "logs", "--limit", "5")


def test_a_second_run_of_a_scope_names_the_first(seat: OperatorSeat) -> None:
    seat.fault("latency", seconds=15, endpoint="user", open_id=seat.account_of("store_0004"))
    first = seat.json("sync", "run", "--job", "user", "--store", "store_0004", "--detach")["id"]
    second = seat.run("sync", "run", "--job", "user", "--store", "store_0004")
    assert second.returncode == 3
    assert f"`tokhub sync watch {first}` follows it, `tokhub sync cancel {first}` ends it." in second.stderr
    seat.says("sync", "cancel", first)


def test_a_run_that_is_none_is_told_as_such(seat: OperatorSeat) -> None:
    for command in (("status",), ("watch",), ("cancel",)):
        ended = seat.run("sync", *command, NO_RUN)
        assert ended.returncode == 3
        assert "`tokhub sync status` lists the runs." in ended.stderr


def test_a_schedule_is_listed_rehearsed_and_started(seat: OperatorSeat) -> None:
    lines = {line.split()[0]: line for line in seat.says("schedule", "list").splitlines()}
    assert "0 2 * * *" in lines["sync_user_daily"]
    runs = seat.json("sync", "status")
    assert "would take in" in seat.says("schedule", "test", "sync_user_daily")
    assert seat.json("sync", "status") == runs
    assert "SUCCEEDED" in seat.says("schedule", "run", "sync_user_daily")


@pytest.mark.parametrize("arguments", [("--store", "a", "--user", "b"), ("--job", "everything")])
def test_a_run_that_cannot_be_is_wrong_usage(seat: OperatorSeat, arguments: tuple[str, ...]) -> None:
    assert seat.run("sync", "run", *arguments).returncode == 2
