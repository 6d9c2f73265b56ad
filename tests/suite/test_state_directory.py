import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.processes import end_orphans
from deploy.local.secret_files import SecretFiles
from deploy.local.state import hold_state
from libs.errors import ServerMisconfig


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    (directory / "run").mkdir(parents=True)
    return directory


def test_a_generated_secret_stays_the_same(state: Path) -> None:
    first = SecretFiles(state, {}).given_or_generated("STATE_SECRET").read_text()
    assert SecretFiles(state, {}).given_or_generated("STATE_SECRET").read_text() == first


def test_a_given_secret_never_overwrites_the_generated_one(state: Path) -> None:
    generated = SecretFiles(state, {}).given_or_generated("TOKEN_ENC_KEY")
    before = generated.read_text()
    given = SecretFiles(state, {"TOKEN_ENC_KEY": "f" * 64}).given_or_generated("TOKEN_ENC_KEY")
    assert (given.read_text(), generated.read_text()) == ("f" * 64, before)


def test_only_the_owner_can_read_secrets(state: Path) -> None:
    files = SecretFiles(state / "secrets", {"ADMIN_API_KEY": "k" * 32})
    for path in (files.given_or_generated("ADMIN_API_KEY"), files.given_or_generated("STATE_SECRET")):
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_state_directory_has_one_holder(state: Path) -> None:
    with hold_state(state), pytest.raises(ServerMisconfig, match=f"process {os.getpid()}"), hold_state(state):
        pass


def test_orphans_of_this_state_are_ended_and_nothing_else(state: Path) -> None:
    ours, other = spawn(state), spawn(state.parent / "other")
    try:
        for name, process in (("token", ours), ("sync", other)):
            (state / "run" / f"{name}.pid").write_text(str(process.pid))
        end_orphans(state)
        assert ours.poll() is not None
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.communicate()


def spawn(state: Path) -> subprocess.Popen[bytes]:
    """A program of the suite in that state directory; it waits for input that never comes."""
    arguments = ("-m", "deploy.local.child", str(os.getpid()), str(state), "code")
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr
    process.stderr.readline()
    return process


def test_the_state_that_is_named_is_removed_and_no_other(state: Path, tmp_path: Path) -> None:
    other = tmp_path / ".tokhub"
    for directory in (state, other):
        with hold_state(directory):
            pass

    removed = remove_state(tmp_path, TOKHUB_STATE_DIR="state")
    assert (removed.returncode, state.exists(), other.exists()) == (0, False, True)

    (tmp_path / ".env").write_text("TOKHUB_STATE_DIR='elsewhere'\n")
    assert "no state in elsewhere" in remove_state(tmp_path).stdout
    assert other.exists()


def test_a_state_in_use_is_not_removed(state: Path, tmp_path: Path) -> None:
    with hold_state(state):
        refused = remove_state(tmp_path, TOKHUB_STATE_DIR="state")

    assert (refused.returncode, state.exists()) == (1, True)
    assert f"(process {os.getpid()}) uses state: end it" in refused.stderr


def test_a_live_state_is_removed_when_nothing_uses_it(state: Path, tmp_path: Path) -> None:
    with hold_state(state / "live"):
        assert remove_state(tmp_path, TOKHUB_STATE_DIR="state").returncode == 1
    assert remove_state(tmp_path, TOKHUB_STATE_DIR="state").returncode == 0
    assert not state.exists()


def test_a_directory_that_is_no_state_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()

    refused = remove_state(tmp_path, TOKHUB_STATE_DIR="photos")
    assert (refused.returncode, (tmp_path / "photos").exists()) == (1, True)
    assert "photos is no state directory" in refused.stderr


def remove_state(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Do as `make clean-state` does there."""
    script = Path(__file__).parents[2] / "deploy/local/remove_state.sh"
    return subprocess.run(
        ["/bin/sh", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
