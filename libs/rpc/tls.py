"""The certificates of this process: read from files, checked before use, and read again when the files change."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TypeVar

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from libs.clock import Clock
from libs.errors import ServerMisconfig

T = TypeVar("T")
# Seconds between looks at the files.
LOOK_EVERY = 1.0

Stamp = tuple[tuple[int, int, int], ...]

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Where the PEM files lie; they belong to one process or person."""

    ca: Path
    certificate: Path
    key: Path

    def stamp(self) -> Stamp:
        """Return what changes when a file does; a missing file has no stamp."""
        return tuple(mark for path in (self.ca, self.certificate, self.key) for mark in marks(path))


def marks(path: Path) -> Stamp:
    """Return the identity, time and size of a file, nothing when there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return ((status.st_ino, status.st_mtime_ns, status.st_size),)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the files held when they were last whole."""

    ca: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


def read_material(files: TlsFiles, clock: Clock) -> Material:
    """Return what the files hold; raise ServerMisconfig, naming the variable, for what cannot be used."""
    material = Material(
        ca=content("TLS_CA", files.ca),
        certificate=content("TLS_CERT", files.certificate),
        key=content("TLS_KEY", files.key),
    )
    parsed("TLS_CA", files.ca, lambda: x509.load_pem_x509_certificates(material.ca))
    own = parsed("TLS_CERT", files.certificate, lambda: x509.load_pem_x509_certificates(material.certificate))[0]
    key: PrivateKeyTypes = parsed("TLS_KEY", files.key, lambda: load_pem_private_key(material.key, None))
    if key.public_key() != own.public_key():
        raise ServerMisconfig(f"TLS_KEY: {files.key} is not the key of {files.certificate}: they are made together.")
    if not own.not_valid_before_utc <= clock.now() < own.not_valid_after_utc:
        raise ServerMisconfig(
            f"TLS_CERT: {files.certificate} is valid from {own.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and that is not now: renew it."
        )
    return material


def content(variable: str, path: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServerMisconfig(f"{variable} cannot be read: {error.strerror} at {path}.") from None


def parsed(variable: str, path: Path, parse: Callable[[], T]) -> T:
    """Return what a file means; the reason why it means nothing is not repeated, it could quote a key."""
    try:
        return parse()
    except (ValueError, TypeError):
        kind = "private key without a passphrase" if variable == "TLS_KEY" else "certificate"
        raise ServerMisconfig(f"{variable}: {path} holds no {kind} in PEM.") from None


class Certificates:
    """The newest material that can be used; safe to ask from any thread, and cheap to ask before every call."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._lock = Lock()
        self._looked = clock.monotonic()
        self._seen = files.stamp()
        self._material = read_material(files, clock)

    def current(self) -> Material:
        """Return the material; files that are half changed, or wrong, leave the one before in use."""
        with self._lock:
            if self._clock.monotonic() - self._looked >= LOOK_EVERY:
                self._look()
            return self._material

    def _look(self) -> None:
        self._looked = self._clock.monotonic()
        stamp = self._files.stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._material = read_material(self._files, self._clock)
        except ServerMisconfig as error:
            log.warning("certificates changed and cannot be used: those of before stay in use", problem=error.message)
        else:
            log.info("certificates read again", certificate=str(self._files.certificate))


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials of a server that speaks with nobody who has no certificate of the same authority.

    gRPC asks before each handshake whether there are newer ones; connections that stand go on as they are.
    """
    offer = Offer(certificates)
    return grpc.dynamic_ssl_server_credentials(
        offer.first,
        offer.newer,  # type: ignore[arg-type]  # None says no change, which the stubs do not know
        require_client_authentication=True,
    )


class Offer:
    """What a server was last given, so that it is given nothing but news.

    gRPC frees what it had for what it is given, under the hands of handshakes that go on at the same moment: given the
    same again and again, a server that several connected to at once aborted every hundredth time.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._given = certificates.current()
        self._lock = Lock()

    @property
    def first(self) -> grpc.ServerCertificateConfiguration:
        """What the server begins with."""
        return configuration(self._given)

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has been renewed since it was last asked for; None for no change."""
        material = self._certificates.current()
        with self._lock:
            if material is self._given:
                return None
            self._given = material
        return configuration(material)


def configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    """Return material as gRPC takes it."""
    return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], material.ca)


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """Return credentials of a client that shows who it is, and asks the server to prove its address."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
