"""Starts a cluster's server as a child process and ends it, also one that an earlier process left running."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from libs.database.postgres.cluster import ENVIRONMENT, Cluster
from libs.errors import ServerMisconfig

# Recovery after a crash replays up to max_wal_size of log.
_READY_SECONDS = 60.0
_FAST_SHUTDOWN_SECONDS = 20.0
_IMMEDIATE_SHUTDOWN_SECONDS = 5.0
# The last backends of a killed server notice its death only when their statement ends.
_LEFTOVERS_SECONDS = 15.0
_POLL_SECONDS = 0.02
# What a later attempt may not meet again: such leftovers, or a port taken since it was found free.
_PASSING = ("pre-existing shared memory block", "could not bind", "could not create any TCP/IP sockets")
# Ends the server when its pipe from the parent closes, which happens however the parent dies; unlike the kernel's
# parent-death signal it does not depend on which thread started the server.
_GUARD = 'read -r _; read -r pid < "$2" && [ "$pid" = "$1" ] && kill -INT "$1"'


@dataclass(frozen=True)
class Postmaster:
    """A server process that accepts connections on 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int


@contextmanager
def running_server(cluster: Cluster, sockets: Path, settings: Mapping[str, str]) -> Iterator[Postmaster]:
    """Run the cluster's server; on leaving, stop it in order. An orphan of an earlier run is stopped first."""
    _stop_orphan(cluster.data)
    if cluster.log.exists():
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    server = _start(cluster, sockets, settings)
    try:
        cluster.port_file.write_text(str(server.port), encoding="ascii")
        with _guard(cluster, server.process):
            yield server
    finally:
        _stop(server.process.pid, lambda: server.process.poll() is not None)


def _start(cluster: Cluster, sockets: Path, settings: Mapping[str, str]) -> Postmaster:
    give_up = time.monotonic() + _LEFTOVERS_SECONDS
    while True:
        port = _free_port(cluster.port_file)
        said_before = cluster.log.stat().st_size if cluster.log.exists() else 0
        process = _spawn(cluster, port, {"unix_socket_directories": _list_item(sockets), **settings})
        if _becomes_ready(process, cluster.data):
            return Postmaster(process, port)
        said = cluster.log.read_bytes()[said_before:].decode(errors="replace").strip()
        if time.monotonic() > give_up or not any(cause in said for cause in _PASSING):
            raise ServerMisconfig(f"PostgreSQL did not start in {cluster.home}, see {cluster.log}: {said[-1000:]}")
        time.sleep(10 * _POLL_SECONDS)


def _list_item(path: Path) -> str:
    return '"' + str(path).replace('"', '""') + '"'


def _spawn(cluster: Cluster, port: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    options = [f"--{name}={value}" for name, value in {**settings, "port": str(port)}.items()]
    environment = dict(ENVIRONMENT)
    if (stale := _pid_file(cluster.data)) is not None:
        # By now that is no server of ours, but its number may have been given to another process. The server ignores
        # the file only then, and still checks that no backend is left: better than to remove the file.
        environment["PG_GRANDPARENT_PID"] = str(stale.pid)
    with cluster.log.open("ab") as log:
        return subprocess.Popen(
            cluster.account.command(cluster.binaries / "bin" / "postgres", "-D", cluster.data, *options),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
        )


def _becomes_ready(process: subprocess.Popen[bytes], data: Path) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if _pid_file(data) == _PidFile(process.pid, ready=True):
                return True
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.kill()
        raise
    _stop(process.pid, lambda: process.poll() is not None)
    return False


@contextmanager
def _guard(cluster: Cluster, server: subprocess.Popen[bytes]) -> Iterator[None]:
    pid_file = cluster.data / "postmaster.pid"
    with subprocess.Popen(
        cluster.account.command("/bin/sh", "-c", _GUARD, "tokhub-postgres-guard", str(server.pid), pid_file),
        stdin=subprocess.PIPE,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    ) as guard:
        try:
            yield
        finally:
            guard.kill()


def _stop_orphan(data: Path) -> None:
    file = _pid_file(data)
    if file is not None and _serves(file.pid, data):
        _stop(file.pid, lambda: not _serves(file.pid, data))


def _stop(pid: int, gone: Callable[[], bool]) -> None:
    steps = ((signal.SIGINT, _FAST_SHUTDOWN_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN_SECONDS))
    for number, patience in steps:
        if gone() or _ended_by(pid, number, patience, gone):
            return
    os.kill(pid, signal.SIGKILL)


def _ended_by(pid: int, number: signal.Signals, patience: float, gone: Callable[[], bool]) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + patience
    while not gone() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return gone()


@dataclass(frozen=True)
class _PidFile:
    pid: int
    ready: bool


def _pid_file(data: Path) -> _PidFile | None:
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        # The eighth line is the state, written last.
        return _PidFile(int(lines[0]), ready=len(lines) >= 8 and lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def _serves(pid: int, data: Path) -> bool:
    """Tell whether the process is the server of this very data directory: a number alone may have been reused."""
    return os.fsencode(f"/bin/postgres -D {data} ") in _command_line(pid)


def _command_line(pid: int) -> bytes:
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return b""
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, check=False).stdout


def _free_port(remembered: Path) -> int:
    try:
        return _bound_port(int(remembered.read_text(encoding="ascii")))
    except (OSError, ValueError, OverflowError):
        return _bound_port(0)


def _bound_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        number: int = probe.getsockname()[1]
        return number
