"""Certificates of every kind, as files in a directory of a test's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from deploy.local.authority import Authority, Names, names_of
from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.rpc.recording import Record
from libs.rpc.tls import Certificates, TlsFiles

HERE = ("127.0.0.1", "localhost")
DAY = timedelta(days=1)


class ImpatientClock(SystemClock):
    """Lets a second pass at every look, so that changed files are seen at once."""

    def __init__(self) -> None:
        self._time = 0.0

    def monotonic(self) -> float:
        self._time += 1
        return self._time


class Remembered:
    """A trail in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def append(self, record: Record) -> None:
        self.records.append(record)


class Office:
    """Issues certificates of one authority; another office's are of another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir()
        self._authority = Authority.create(now=datetime.now(UTC), life=DAY)
        self._issued = 0

    def files(self, who: str, *, hosts: tuple[str, ...] = (), age: timedelta = timedelta()) -> TlsFiles:
        """Files of whoever this is, as `svc/sync`; age is how long ago they were made, to be good for a day."""
        return self.files_with(names_of(uri_of(who), hosts), age=age)

    def files_with(self, names: Names, *, age: timedelta = timedelta()) -> TlsFiles:
        """Files of a certificate with these names."""
        self._issued += 1
        directory = self._directory / str(self._issued)
        directory.mkdir()
        files = TlsFiles(ca=directory / "ca.pem", certificate=directory / "own.pem", key=directory / "own.key")
        self._write(files, names, age)
        return files

    def issue(self, files: TlsFiles, who: str, *, hosts: tuple[str, ...] = ()) -> None:
        """Put a new certificate into the files."""
        self._write(files, names_of(uri_of(who), hosts), timedelta())

    def _write(self, files: TlsFiles, names: Names, age: timedelta) -> None:
        issued = self._authority.issue(names, now=datetime.now(UTC) - age, life=DAY)
        files.ca.write_text(self._authority.written().certificate)
        files.certificate.write_text(issued.certificate)
        files.key.write_text(issued.key)

    def certificates(self, who: str, *hosts: str) -> Certificates:
        return Certificates(self.files(who, hosts=hosts), ImpatientClock())

    def channel(self, target: str, who: str) -> grpc.aio.Channel:
        return open_channel(target, certificates=self.certificates(who), timeout=5)


def uri_of(who: str) -> str:
    return who if ":" in who else f"spiffe://tokhub/{who}"


def bare_channel(target: str, files: TlsFiles, *, certified: bool = True) -> grpc.aio.Channel:
    """A channel of gRPC itself, which looks at none of the files before it shows them."""
    own = (files.key.read_bytes(), files.certificate.read_bytes()) if certified else (None, None)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(files.ca.read_bytes(), *own))
