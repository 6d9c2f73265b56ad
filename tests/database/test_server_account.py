"""As whom the embedded server runs."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.database.postgres.account import Account, server_account

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
counts_forks = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "__register_atfork"), reason="only the GNU C library tells of its forks"
)
# Registers what C libraries register (gRPC among them) and counts how often a child is made by fork().
COUNTING = """
import ctypes, sys
from pathlib import Path
from libs.database.embedded import EmbeddedPostgres
forks = []
prepare = ctypes.CFUNCTYPE(None)(lambda: forks.append(1))
ctypes.CDLL(None).__register_atfork(prepare, None, None, None)
with EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"}):
    print(len(forks))
"""


def said(*words: str) -> str:
    command = server_account(Path("/nowhere")).command(*words)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@as_root
def test_a_command_runs_as_the_account_alone() -> None:
    account = server_account(Path("/nowhere"))
    assert said("/bin/sh", "-c", "id -u; id -G").split() == [str(account.user), str(account.group)]


def test_an_account_of_this_process_changes_no_command() -> None:
    assert Account().command("/bin/true", Path("/x")) == ["/bin/true", "/x"]


@as_root
def test_a_program_that_cannot_start_is_named() -> None:
    command = Account(65534, 65534).command("/nowhere/postgres")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "/nowhere/postgres could not be started as user 65534: No such file or directory\n"


@counts_forks
def test_no_handler_of_fork_runs_when_a_server_starts(open_directory: Path) -> None:
    command = [sys.executable, "-c", COUNTING, str(open_directory / "postgres")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "0\n"
