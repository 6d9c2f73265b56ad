"""Hands each process the secrets and the certificate that are its own, and nothing of the others'."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from deploy.local.identities import OPERATOR, Identities
from deploy.local.postgres import service_addresses
from deploy.local.secret_files import GENERATED, SecretFiles
from deploy.provision.settings import ProvisionSettings
from libs.clock import SystemClock
from libs.database.dsn import Dsn
from libs.private_file import write_private

# What is not generated is empty until somebody gives it.
SECRETS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "token": (
            "TOKEN_ENC_KEYS",
            "AUDIT_KEYS",
            "STATE_SECRET",
            "STATE_SECRETS_ACCEPTED",
            "TIKTOK_CLIENT_SECRET",
            "TIKTOK_SHOP_APP_SECRET",
            "SANDBOX_CLIENT_SECRET",
            "SANDBOX_SHOP_APP_SECRET",
        ),
        "sync": ("AUDIT_KEYS",),
        "gateway": ("ADMIN_API_KEY", "ADMIN_API_KEYS", "USER_JWT_SECRET"),
        "sandbox": ("SANDBOX_CLIENT_SECRET", "SANDBOX_SHOP_APP_SECRET"),
        "postgres": ("POSTGRES_PASSWORD",),
        "grafana": ("GRAFANA_PASSWORD",),
    }
)
KNOWN = frozenset(name for names in SECRETS.values() for name in names)


class Provision:
    """What a suite is given, in one place, and the directories from which its processes take their part."""

    def __init__(self, settings: ProvisionSettings) -> None:
        self._settings = settings
        self._authority, self._handed = settings.provision_authority, settings.provision_handed
        self._identities = Identities(directory=self._authority / "tls", hosts=settings.hosts, clock=SystemClock())

    def give(self, name: str, value: str) -> None:
        """Keep a secret that somebody chose; it takes the place of a generated one."""
        self._files()
        write_private(self._given / name, value)

    def hand_out(self) -> None:
        """Make what is missing or ends soon, and bring every process's part up to it."""
        files = self._files()
        for process, names in SECRETS.items():
            for name in names:
                self._put(process, name, secret(files, name))
        self._identities.renew()
        for name in (*self._settings.hosts, OPERATOR):
            self._put_certificate(name)
        if self._settings.provision_ready:
            self._settings.provision_ready.touch()

    async def admit(self) -> None:
        """Give each service its role in the database, and the address to use it by."""
        files = self._files()
        admin = Dsn.parse(self._settings.provision_database)
        with_password = admin.as_role(admin.user, secret(files, "POSTGRES_PASSWORD"))
        addresses = await service_addresses(with_password.reveal(), files)
        for process, path in (("token", addresses.token), ("sync", addresses.sync), ("gateway", addresses.gateway)):
            self._put(process, "DATABASE_URL", path.read_text(encoding="utf-8"))

    @property
    def _given(self) -> Path:
        return self._authority / "secrets" / "given"

    def _files(self) -> SecretFiles:
        self._authority.mkdir(mode=0o700, parents=True, exist_ok=True)
        given = {f"{path.name}_FILE": str(path) for path in self._given.glob("*")}
        return SecretFiles(self._authority / "secrets", given)

    def _put_certificate(self, name: str) -> None:
        directory = Path("readers", name) if name in self._settings.token_readers else Path(name)
        files = self._identities.files(name)
        for file, path in (("key.pem", files.key), ("cert.pem", files.certificate), ("ca.pem", files.ca)):
            self._put(directory, file, path.read_text(encoding="ascii"))

    def _put(self, directory: str | Path, name: str, text: str) -> None:
        """Write a file unless it says the same already: who looks at its time would read it again for nothing."""
        path = self._handed / directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_private(path, text)


def secret(files: SecretFiles, name: str) -> str:
    """Return a secret, empty when it is neither given nor of a kind that is generated."""
    path = files.given_or_generated(name) if name in GENERATED else files.given(name)
    return path.read_text(encoding="utf-8") if path else ""
