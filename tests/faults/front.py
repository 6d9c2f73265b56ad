"""What stands where TikTok should: a front with a certificate of any kind, and a place where nothing should arrive."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AT_ONCE = 65_536  # bytes
HOST = "127.0.0.1"
DAY = timedelta(days=1)


class Flaw(StrEnum):
    """What is wrong with a certificate."""

    NONE = "none"
    EXPIRED = "expired"
    EARLY = "not valid yet"
    WRONG_HOST = "of another host"
    SELF_SIGNED = "self-signed"


class Authority:
    """Signs certificates; bundle is the file by which it is trusted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named("authority")
        self.bundle = directory / "authority.pem"
        own = self._certificate(self._key.public_key(), self._name, x509.BasicConstraints(ca=True, path_length=None))
        self.bundle.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def context(self, flaw: Flaw) -> ssl.SSLContext:
        """Return what a server shows that has such a certificate for this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        host = x509.DNSName("tiktok.invalid") if flaw is Flaw.WRONG_HOST else x509.IPAddress(ipaddress.ip_address(HOST))
        signer = key if flaw is Flaw.SELF_SIGNED else self._key
        alternative = x509.SubjectAlternativeName([host])
        certificate = self._certificate(key.public_key(), named("front"), alternative, flaw=flaw, signer=signer)
        path = self._directory / f"{flaw.name.lower()}.pem"
        encoding, secret = serialization.Encoding.PEM, serialization.NoEncryption()
        pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, secret)
        path.write_bytes(pem + certificate.public_bytes(encoding))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        extension: x509.ExtensionType,
        *,
        flaw: Flaw = Flaw.NONE,
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        moved = {Flaw.EXPIRED: -2 * DAY, Flaw.EARLY: 2 * DAY}.get(flaw, timedelta())
        now = datetime.now(UTC) + moved
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if flaw is Flaw.SELF_SIGNED else self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(signer or self._key, hashes.SHA256())
        )


def named(what: str) -> x509.Name:
    """Return a name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, what)])


@dataclass
class Front:
    """A server, how often it was called, and what it has heard, after decryption."""

    url: str = ""
    heard: bytearray = field(default_factory=bytearray)
    visits: int = 0


@asynccontextmanager
async def front(target: str | None = None, context: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
    """Listen, over TLS with a context, and hand on to a plain port of this machine; without one answer `{}`."""
    one = Front()
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talks.add(task)
        task.add_done_callback(talks.discard)
        one.visits += context is None
        with suppress(OSError, asyncio.CancelledError):
            await (hand_on(one, reader, writer, int(target)) if target else answer(one, reader, writer))
        writer.close()

    def greeted(*_greeting: object) -> None:
        one.visits += 1  # also when the handshake ends here, as it does with a certificate that is refused

    if context:
        context.sni_callback = greeted
    server = await asyncio.start_server(talk, HOST, 0, ssl=context)
    scheme = "https" if context else "http"
    one.url = f"{scheme}://{HOST}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield one
        for task in list(talks):
            task.cancel()


async def answer(one: Front, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Remember what comes and answer as if it were welcome."""
    one.heard += await reader.read(AT_ONCE)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    await writer.drain()


async def hand_on(one: Front, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass on what is said, in both directions, and remember what comes."""
    back, forth = await asyncio.open_connection(HOST, port)

    async def listen() -> None:
        while said := await reader.read(AT_ONCE):
            one.heard += said
            forth.write(said)
            await forth.drain()

    listening = asyncio.create_task(listen())
    try:
        while said := await back.read(AT_ONCE):
            writer.write(said)
            await writer.drain()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        forth.close()
