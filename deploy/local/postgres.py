"""The suite's database: the embedded server or a given one, with a role for each service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.secret_files import SecretFiles
from libs.database.embedded import EmbeddedPostgres
from libs.database.roles import ServiceRole, ensure_roles
from libs.secret import Secret


@dataclass(frozen=True, kw_only=True)
class DatabaseFiles:
    """Files that hold the address for each service."""

    token: Path
    sync: Path


@contextmanager
def administered_database(given: Secret | None, directory: Path) -> Iterator[str]:
    """Yield the administrator's address; without a given database, of an embedded one that runs meanwhile."""
    if given is not None:
        yield given.reveal()
        return
    with EmbeddedPostgres(directory) as server:
        yield server.dsn()


async def service_addresses(admin: str, files: SecretFiles) -> DatabaseFiles:
    """Give each service its role and return where their addresses lie; the administrator's lies beside them."""
    roles = [
        ServiceRole(name="tokhub_token", schema="credentials", password=secret(files, "TOKEN_ROLE_PASSWORD")),
        ServiceRole(name="tokhub_sync", schema="reporting", password=secret(files, "SYNC_ROLE_PASSWORD")),
    ]
    addresses = await ensure_roles(admin, roles)
    files.derived("DATABASE_URL", admin)
    return DatabaseFiles(
        token=files.derived("TOKEN_DATABASE_URL", addresses["tokhub_token"]),
        sync=files.derived("SYNC_DATABASE_URL", addresses["tokhub_sync"]),
    )


def secret(files: SecretFiles, name: str) -> Secret:
    """Return a generated secret."""
    return Secret(files.given_or_generated(name).read_text(encoding="utf-8"))
