"""A certificate authority for one machine: says who the processes and people of one suite are."""

import ipaddress
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks differ: what is issued is good from a little before.
BEFORE = timedelta(minutes=10)
Names = Sequence[x509.GeneralName]

CALLS = (ExtendedKeyUsageOID.CLIENT_AUTH,)
CALLS_AND_ANSWERS = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: str
    key: str = field(repr=False)


class Authority:
    """Signs certificates with a key of its own."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, *, now: datetime, life: timedelta) -> Self:
        """Return a new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokhub on this machine")])
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            unsigned(name, name, key, now, life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, issued: Issued) -> Self:
        """Return the one that was written down; raise ValueError for what is none."""
        key = load_pem_private_key(issued.key.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is of another kind")  # noqa: TRY004 - the content is wrong, not a type
        return cls(key, x509.load_pem_x509_certificate(issued.certificate.encode()))

    @property
    def ends(self) -> datetime:
        """When it is no longer good."""
        return self._certificate.not_valid_after_utc

    def written(self) -> Issued:
        """Return it in PEM."""
        return Issued(certificate=self._certificate.public_bytes(Encoding.PEM).decode(), key=pem(self._key))

    def stands_for(self, issued: Issued, names: Names, *, until: datetime) -> bool:
        """Return whether a certificate of this authority says the same until then; ValueError for what is none."""
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        with suppress(InvalidSignature, TypeError, x509.ExtensionNotFound):
            certificate.verify_directly_issued_by(self._certificate)
            named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            own = load_pem_private_key(issued.key.encode(), None).public_key() == certificate.public_key()
            return own and list(named) == list(names) and certificate.not_valid_after_utc > until
        return False

    def issue(self, names: Names, *, now: datetime, life: timedelta) -> Issued:
        """Return a certificate with these names; whoever has names beside a URI may answer calls too."""
        key = ec.generate_private_key(ec.SECP256R1())
        answers = any(not isinstance(name, x509.UniformResourceIdentifier) for name in names)
        certificate = (
            unsigned(x509.Name([]), self._certificate.subject, key, now, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage(CALLS_AND_ANSWERS if answers else CALLS), critical=False)
            .sign(self._key, SHA256())
        )
        return Issued(certificate=certificate.public_bytes(Encoding.PEM).decode(), key=pem(key))


def unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    """Return what all certificates have."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + life)
    )


def names_of(uri: str, hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Return what a certificate says: who has it, and where they answer calls."""
    return [x509.UniformResourceIdentifier(uri), *(host_name(host) for host in hosts)]


def host_name(host: str) -> x509.GeneralName:
    """Return an address or a name in the form of certificates."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a key in PEM, unencrypted: its file is its owner's alone."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
