"""Runs a PostgreSQL of our own under one directory, started and stopped with this process."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from libs.database.postgres.cluster import DATABASE, SUPERUSER, Cluster
from libs.database.postgres.process import Postmaster, running_server

_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_permissions": "0700",
        "max_connections": "300",
        "shared_buffers": "128MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
)


class EmbeddedPostgres:
    """A PostgreSQL server whose files live in one directory, used by one process at a time.

    The directory is its own: it is created, and becomes a symbolic link where the server's account cannot reach it.
    Its address and password stay the same from start to start, unless the port was taken meanwhile.
    """

    def __init__(self, directory: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """Let PostgreSQL's own settings override the suite's, for instance fsync=off for tests."""
        self._directory = directory.absolute()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._running = ExitStack()
        self._server: Postmaster | None = None
        self._cluster: Cluster | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections; ServerMisconfig says why it cannot and what to do."""
        if self._server is not None:
            raise RuntimeError("the embedded PostgreSQL is started already")
        with ExitStack() as undo:
            cluster = undo.enter_context(Cluster.at(self._directory))
            cluster.initialise(durable=self._settings["fsync"] == "on")
            sockets = undo.enter_context(cluster.socket_directory())
            self._server = undo.enter_context(running_server(cluster, sockets, self._settings))
            self._cluster = cluster
            self._running = undo.pop_all()

    def stop(self) -> None:
        """Shut down in order; what was committed stays, sessions end. Stopping twice does no harm."""
        self._running.close()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._started()[0].port

    @property
    def process_id(self) -> int:
        """The server's main process."""
        return self._started()[0].process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the server runs; its exit code when it has ended without being stopped."""
        return self._started()[0].process.poll()

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._started()[1].log

    def dsn(self, database: str = DATABASE) -> str:
        """Return the address for the superuser; it holds the password."""
        server, cluster = self._started()
        password = quote(cluster.password(), safe="")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{server.port}/{quote(database, safe='')}"

    def _started(self) -> tuple[Postmaster, Cluster]:
        if self._server is None or self._cluster is None:
            raise RuntimeError("the embedded PostgreSQL is not started")
        return self._server, self._cluster
