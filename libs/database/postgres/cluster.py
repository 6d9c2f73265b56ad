"""The files of one database cluster: password, data directory, remembered port and log."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.database.postgres.account import Account, can_read, server_account
from libs.database.postgres.binaries import MAJOR_VERSION, copied_binaries, installed_binaries
from libs.database.postgres.place import settle, sole_holder
from libs.errors import ServerMisconfig
from libs.private_file import write_private

SUPERUSER = "tokhub"
DATABASE = "tokhub"
# Settings and locale of the caller stay out: PG* variables would change what the programs do.
ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C"}
# The shortest limit on the path of a unix socket is macOS's, 104 bytes with the final zero.
_SOCKET_PATH_LIMIT = 103
_LONGEST_SOCKET_NAME = "/.s.PGSQL.65535.lock"


@dataclass(frozen=True)
class Cluster:
    """Where a cluster's files are and who runs its server."""

    home: Path
    account: Account
    binaries: Path = field(repr=False)

    @classmethod
    @contextmanager
    def at(cls, directory: Path) -> Iterator["Cluster"]:
        """Hold the cluster of a directory for this process alone, with programs that its account can run."""
        account = server_account(directory / "data")
        home = settle(directory, account)
        with sole_holder(home):
            binaries = installed_binaries()
            if not _can_run(binaries, account):
                binaries = copied_binaries(binaries, home)
            yield cls(home=home, account=account, binaries=binaries)

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the present server writes."""
        return self.home / "server.log"

    @property
    def port_file(self) -> Path:
        """Holds the port of the last start, so that the address stays the same."""
        return self.home / "port"

    def password(self) -> str:
        """Return the superuser's password, made at the first call."""
        path = self.home / "password"
        if not path.exists():
            self._check_no_data(path)
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text(encoding="ascii")

    def initialise(self, *, durable: bool) -> None:
        """Create the data directory unless it exists; a creation that was cut short leaves nothing behind."""
        password = self.password()
        if self.data.exists():
            return self._check_version()
        staging = self.home / "data.new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        self.account.own(staging)
        with self._password_file(password) as password_file:
            self._initdb(staging, password_file, [] if durable else ["--no-sync"])
        self._run("postgres", ["--single", "-D", str(staging), "postgres"], f"CREATE DATABASE {DATABASE};\n")
        staging.rename(self.data)
        return None

    @contextmanager
    def socket_directory(self) -> Iterator[Path]:
        """Yield a directory whose socket paths are within the limit: in the cluster, else a temporary one."""
        link = self.home / "sockets"
        _remove_socket_directory(link)
        if len(os.fsencode(link)) + len(_LONGEST_SOCKET_NAME) <= _SOCKET_PATH_LIMIT:
            link.mkdir(mode=0o700)
        else:
            link.symlink_to(tempfile.mkdtemp(prefix="tokhub-", dir="/tmp"))
        self.account.own(link.resolve())
        try:
            yield link.resolve()
        finally:
            _remove_socket_directory(link)

    def _check_no_data(self, password_file: Path) -> None:
        if self.data.exists():
            raise ServerMisconfig(
                f"{password_file} is missing, so the database in {self.data} cannot be opened: "
                f"put the file back from a backup, or remove {self.home} to start with an empty database."
            )

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise ServerMisconfig(
                f"{self.data} was made by PostgreSQL {version}, and this release brings {MAJOR_VERSION}: "
                "dump it with the earlier release, remove the directory and restore the dump."
            )

    @contextmanager
    def _password_file(self, password: str) -> Iterator[Path]:
        path = self.home / "password.initdb"
        path.unlink(missing_ok=True)
        write_private(path, password)
        self.account.own(path)
        try:
            yield path
        finally:
            path.unlink()

    def _initdb(self, data: Path, password_file: Path, options: list[str]) -> None:
        self._run(
            "initdb",
            [
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *options,
            ],
        )

    def _run(self, program: str, arguments: list[str], script: str = "") -> None:
        try:
            subprocess.run(
                self.account.command(self.binaries / "bin" / program, *arguments),
                check=True,
                input=script,
                capture_output=True,
                text=True,
                cwd="/",
                env=ENVIRONMENT,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip() or f"it ended with status {error.returncode}"
            raise ServerMisconfig(f"{program} could not prepare {self.home}: {said}") from None
        except OSError as error:
            raise ServerMisconfig(
                f"{program} could not be started in {self.home}: {error.strerror}. "
                "Start tokhub as another user, or set DATABASE_URL."
            ) from None


def _can_run(binaries: Path, account: Account) -> bool:
    needed = (binaries / "bin" / "postgres", binaries / "share" / "postgresql" / "postgres.bki")
    return all(can_read(path, account) for path in needed)


def _remove_socket_directory(link: Path) -> None:
    shutil.rmtree(link.resolve(), ignore_errors=True)
    if link.is_symlink():
        link.unlink()
