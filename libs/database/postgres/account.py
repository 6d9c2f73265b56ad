"""Decides as whom the server runs, for PostgreSQL refuses to run as root, and what that account can reach."""

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from libs.errors import ServerMisconfig

# A machine's owner may create `tokhub`; `nobody` exists everywhere. initdb needs an account with a name.
_UNPRIVILEGED = ("tokhub", "nobody")
# With subprocess's own `user` a child comes from fork(), whose handlers of gRPC may end it before it becomes the
# program when another thread speaks gRPC just then. Without, Python uses vfork(), which runs no handlers.
_BECOME = """
import os, sys
user, group, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
try:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    os.execvp(program, sys.argv[3:])
except OSError as error:
    sys.exit(f"{program} could not be started as user {user}: {error.strerror}")
"""


@dataclass(frozen=True)
class Account:
    """The identity of the server's processes; None means that of this process."""

    user: int | None = None
    group: int | None = None

    def command(self, *words: str | Path) -> list[str]:
        """Return the command that runs another as this account, in one process and without supplementary groups."""
        command = [str(word) for word in words]
        if self.user is None:
            return command
        return [sys.executable, "-I", "-S", "-c", _BECOME, str(self.user), str(self.group), *command]

    def own(self, path: Path) -> None:
        """Give a path to the account; ServerMisconfig where root may not, as in some containers."""
        if self.user is None or self.group is None:
            return
        try:
            os.chown(path, self.user, self.group, follow_symlinks=False)
        except OSError as error:
            raise ServerMisconfig(
                f"PostgreSQL does not run as root, and {path} cannot be given to user {self.user}: {error.strerror}. "
                "Start tokhub as another user, or set DATABASE_URL."
            ) from None


def server_account(data: Path) -> Account:
    """Choose the account: this process's own, the data's owner, or an unprivileged one for root."""
    if os.geteuid() != 0:
        return Account()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for entry in map(_entry, _UNPRIVILEGED):
        if entry is not None:
            return Account(entry.pw_uid, entry.pw_gid)
    raise ServerMisconfig(
        "PostgreSQL does not run as root, and this machine has neither a user `tokhub` nor `nobody`: "
        "create one (`useradd --system tokhub`), or set DATABASE_URL."
    )


def can_enter(directory: Path, account: Account) -> bool:
    """Tell whether the account can pass through the directory and all above it."""
    resolved = directory.resolve()
    return all(_permits(step, account, stat.S_IXOTH) for step in (resolved, *resolved.parents))


def can_read(path: Path, account: Account) -> bool:
    """Tell whether the account can come to a file and read it."""
    return can_enter(path.parent, account) and _permits(path, account, stat.S_IROTH)


def _permits(path: Path, account: Account, wanted: int) -> bool:
    if account.user is None:
        return True
    status = path.stat()
    shift = 6 if status.st_uid == account.user else 3 if status.st_gid == account.group else 0
    return (status.st_mode >> shift) & wanted == wanted


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
