"""Secrets in files that only their owner can read: made once, or taken from the environment at each start."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from libs.private_file import write_private
from libs.settings import read_variable

GENERATED: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "TOKEN_ENC_KEY": lambda: secrets.token_hex(32),
        "TOKEN_ENC_KEYS": lambda: f"k1:{secrets.token_hex(32)}",
        # An id of its own: rows under another key are not taken for changed ones.
        "AUDIT_KEYS": lambda: f"{secrets.token_hex(4)}:{secrets.token_hex(32)}",
        "ADMIN_API_KEY": lambda: secrets.token_hex(24),
        "STATE_SECRET": lambda: secrets.token_urlsafe(32),
        "USER_JWT_SECRET": lambda: secrets.token_urlsafe(32),
        "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(32),
        "GRAFANA_PASSWORD": lambda: secrets.token_urlsafe(16),
        "TOKEN_ROLE_PASSWORD": lambda: secrets.token_urlsafe(32),
        "SYNC_ROLE_PASSWORD": lambda: secrets.token_urlsafe(32),
        "GATEWAY_ROLE_PASSWORD": lambda: secrets.token_urlsafe(32),
        "REPORT_ROLE_PASSWORD": lambda: secrets.token_urlsafe(32),
        # Marked as everything secret of the sandbox is, so that a search for the mark finds a leak.
        "SANDBOX_CLIENT_SECRET": lambda: f"CNRY{secrets.token_urlsafe(24)}",
        "SANDBOX_SHOP_APP_SECRET": lambda: f"CNRY{secrets.token_urlsafe(24)}",
    }
)


NOT_GENERATED = ("ADMIN_API_KEYS", "STATE_SECRETS_ACCEPTED", "REDIS_URL")


def check_given(environ: Mapping[str, str]) -> None:
    """Raise WrongSetting when a secret is said to be in a file that cannot be read."""
    for name in (*GENERATED, *NOT_GENERATED):
        read_variable(name, environ)


class SecretFiles:
    """Where each secret lies; what is given wins over what was generated, and never overwrites it."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._given = directory / "given"
        for folder in (directory, self._given):
            folder.mkdir(mode=0o700, exist_ok=True)

    def given(self, name: str) -> Path | None:
        """Return the file of a secret that the environment or `.env` holds or points to; None when neither does."""
        if not (value := read_variable(name, self._environ)):
            return None
        write_private(self._given / name, value)
        return self._given / name

    def given_or_generated(self, name: str) -> Path:
        """Return the file of a secret, made at the first call unless it is given."""
        if (given := self.given(name)) is not None:
            return given
        path = self._directory / name
        if not path.exists():
            write_private(path, GENERATED[name]())
        return path

    def derived(self, name: str, value: str) -> Path:
        """Return the file of a secret that every start works out anew."""
        write_private(self._directory / name, value)
        return self._directory / name
