"""The state directory: one suite at a time, and nobody else's eyes."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from libs.errors import ServerMisconfig
from libs.holder import hold
from libs.settings import WrongSetting


@contextmanager
def hold_state(directory: Path) -> Iterator[None]:
    """Create the directory and hold it for this process; ServerMisconfig when another suite has it.

    WrongSetting when there can be no such directory.
    """
    with opened_lock(directory) as lock:
        hold(
            lock,
            lambda holder: (
                f"Another `make run` (process {holder}) uses {directory}: end it with Ctrl-C first, "
                "or set TOKHUB_STATE_DIR and the ports for a second suite beside it."
            ),
        )
        yield


def opened_lock(directory: Path) -> TextIO:
    """Return the open file of the directory's lock."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        return (directory / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise WrongSetting(
            f"TOKHUB_STATE_DIR: {directory} cannot hold the suite's state ({error.strerror}): "
            "name a directory that can be written to."
        ) from None


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise ServerMisconfig naming the first port that somebody else listens on, and the setting that moves it."""
    for name, port in ports.items():
        if not is_free(port):
            other = f"127.0.0.1:{port + 1000}" if name.endswith("LISTEN") else str(port + 1000)
            raise ServerMisconfig(
                f"Port {port} is taken by another program: stop that, or choose another port, "
                f"as in `{name}={other} make run`."
            )


def is_free(port: int) -> bool:
    """Return whether a port of this machine could be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
