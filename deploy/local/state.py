"""The state directory: one suite at a time, and nobody else's eyes."""

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from libs.errors import ServerMisconfig


@contextmanager
def hold_state(directory: Path) -> Iterator[None]:
    """Create the directory and hold it for this process; ServerMisconfig when another suite has it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    with (directory / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ServerMisconfig(
                f"Another `make run` (process {lock.read().strip() or 'unknown'}) uses {directory}: end it with Ctrl-C "
                "first, or set TOKHUB_STATE_DIR and the ports for a second suite beside it."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise ServerMisconfig naming the first port that somebody else listens on, and the setting that moves it."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                other = f"127.0.0.1:{port + 1000}" if name.endswith("LISTEN") else str(port + 1000)
                raise ServerMisconfig(
                    f"Port {port} is taken by another program: stop that, or choose another port, "
                    f"as in `{name}={other} make run`."
                ) from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    staging = path.with_name(f"{path.name}.new")
    staging.unlink(missing_ok=True)
    with os.fdopen(os.open(staging, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    staging.replace(path)
