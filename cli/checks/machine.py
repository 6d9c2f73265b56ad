"""Looks at what stands on this machine: settings, keys and certificates."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from cli.checks.finding import Finding, bad, good, warning
from cli.settings import ClientSettings
from libs.errors import NotAllowed
from libs.rpc.identity import OPERATOR, caller_named
from libs.secret import Secret
from libs.settings import WrongSetting, read_variable
from libs.tiktok.shop_environment import FOREIGN
from libs.vault.ring import WrongKeys, parse_keys

SOON = timedelta(days=10)
KEYS = ("TOKEN_ENC_KEY", "TOKEN_ENC_KEYS")


def check_settings(settings: ClientSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say where the services are, and which variables of other systems are in the way."""
    yield good("settings", f"token service at {settings.token_target}, sync service at {settings.sync_target}")
    for name, instead in FOREIGN.items():
        if environ.get(name):
            yield bad("settings", f"{name} is set, and no service starts with it.", f"{instead}.")


def check_keys(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say whether the keys that are set here can be used; nothing when none are."""
    try:
        one, several = (read_variable(name, environ) for name in KEYS)
        if one or several:
            ring = parse_keys(Secret(one) if one else None, Secret(several) if several else None)
            yield good("keys", f"those set here can be used; {ring.active} is listed first")
    except (WrongKeys, WrongSetting) as error:
        yield bad("keys", f"{error}.", "Correct TOKEN_ENC_KEY or TOKEN_ENC_KEYS (docs/vault.md).")


def check_certificates(settings: ClientSettings, now: datetime) -> Iterator[Finding]:
    """Say who the certificate names, and when it and its authority end."""
    if settings.tls_ca is None or settings.tls_cert is None:
        yield warning(
            "certificate",
            "none is set: calls go out in plaintext, to this machine alone.",
            "Set TLS_CA, TLS_CERT and TLS_KEY, or run this where `make run` was started.",
        )
        return
    yield from check_certificate("certificate", settings.tls_cert, now)
    yield from check_certificate("authority", settings.tls_ca, now)


def check_certificate(what: str, path: Path, now: datetime) -> Iterator[Finding]:
    """Say when a certificate ends, and whose it is if it names somebody."""
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        yield bad(what, f"{path} cannot be read ({type(error).__name__}).", "Set TLS_CA, TLS_CERT and TLS_KEY.")
        return
    whose = subject_of(certificate)
    ends = certificate.not_valid_after_utc
    if not certificate.not_valid_before_utc <= now < ends:
        yield bad(what, f"{whose}not valid now, but until {ends:%Y-%m-%d %H:%M} UTC.", f"Renew {path}.")
    elif ends - now < SOON:
        yield warning(what, f"{whose}ends on {ends:%Y-%m-%d %H:%M} UTC.", f"Renew {path} before that.")
    else:
        yield good(what, f"{whose}good until {ends:%Y-%m-%d} UTC")
    if what == "certificate" and not whose.startswith(OPERATOR):
        yield bad(what, f"{path} is not an operator's.", "Use one that names spiffe://tokhub/operator/NAME.")


def subject_of(certificate: x509.Certificate) -> str:
    """Return who a certificate names, ready to go on from; empty when it names nobody."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return f"{caller_named(uris[0]).name}, " if len(uris) == 1 else ""
    except (x509.ExtensionNotFound, NotAllowed):
        return ""
