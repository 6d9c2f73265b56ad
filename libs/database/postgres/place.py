"""Settles where a server's files live, so that its account can reach them and no one else's directory is opened."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.database.postgres.account import Account, can_enter
from libs.errors import ServerMisconfig
from libs.holder import hold

ELSEWHERE = Path("/var/lib/tokhub")


def settle(directory: Path, account: Account) -> Path:
    """Return the real directory of the server's files.

    It is the directory itself; where the account cannot reach that, it is one of its own below ELSEWHERE, and the
    directory becomes a symbolic link to it.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.is_symlink() and not directory.exists():
        directory.unlink()
    if not directory.is_symlink() and not can_enter(directory.parent, account):
        _point_elsewhere(directory)
    directory.mkdir(mode=0o700, exist_ok=True)
    home = directory.resolve()
    _check_owner(home)
    if account.user is not None:
        home.chmod(0o711)
    return home


@contextmanager
def sole_holder(home: Path) -> Iterator[None]:
    """Hold the directory for this process alone; ServerMisconfig names the process that has it."""
    with (home / "lock").open("a+", encoding="ascii") as lock:
        hold(
            lock,
            lambda holder: (
                f"The database in {home} is in use by process {holder}, perhaps another `make run`: stop that first."
            ),
        )
        yield


def _point_elsewhere(directory: Path) -> None:
    if directory.exists():
        _remove_empty(directory)
    home = _new_home(directory)
    try:
        directory.symlink_to(home)
    except FileExistsError:
        # Another start at the same moment was first.
        home.rmdir()


def _new_home(directory: Path) -> Path:
    ELSEWHERE.mkdir(mode=0o711, parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:16]
    # Always a new one: what a deleted clone left behind at the same path was written with that clone's keys.
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ELSEWHERE))


def _remove_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        raise ServerMisconfig(
            f"The account that runs PostgreSQL cannot reach {directory}, and it is not empty: "
            "move the project to a path that other users may enter, or remove that directory."
        ) from None


def _check_owner(home: Path) -> None:
    if os.geteuid() not in (0, home.stat().st_uid):
        raise ServerMisconfig(f"The database in {home} belongs to another user: start as that user, or remove it.")
