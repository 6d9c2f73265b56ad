"""The suite's database: the embedded server or a given one, with a role for each service."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from deploy.local.secret_files import SecretFiles
from libs.database.dsn import Dsn
from libs.database.embedded import EmbeddedPostgres
from libs.database.errors import obstacle
from libs.database.report_role import ROLE
from libs.database.roles import ServiceRole, ensure_roles
from libs.errors import StorageUnavailable
from libs.secret import Secret
from libs.settings import WrongSetting


@dataclass(frozen=True, kw_only=True)
class DatabaseFiles:
    """Files that hold the address for each service."""

    token: Path
    sync: Path
    gateway: Path


@dataclass(frozen=True, kw_only=True)
class Database:
    """The administrator's address, and the server when it is our own."""

    admin_dsn: str = field(repr=False)
    server: EmbeddedPostgres | None


@contextmanager
def administered_database(given: Secret | None, directory: Path) -> Iterator[Database]:
    """Yield the given database; without one, an embedded one that runs meanwhile."""
    if given is not None:
        yield Database(admin_dsn=given.reveal(), server=None)
        return
    with EmbeddedPostgres(directory) as server:
        yield Database(admin_dsn=server.dsn(), server=server)


async def service_addresses(admin: str, files: SecretFiles) -> DatabaseFiles:
    """Give each service its role and return where their addresses lie.

    The administrator's lies beside them, and that of the role to report with.
    """
    roles = [
        ServiceRole(name="tokhub_token", schemas=("credentials",), password=secret(files, "TOKEN_ROLE_PASSWORD")),
        ServiceRole(name="tokhub_sync", schemas=("reporting", ROLE), password=secret(files, "SYNC_ROLE_PASSWORD")),
        ServiceRole(name="tokhub_gateway", schemas=("gateway",), password=secret(files, "GATEWAY_ROLE_PASSWORD")),
        ServiceRole(name=ROLE, schemas=(), password=secret(files, "REPORT_ROLE_PASSWORD")),
    ]
    with database_named(Dsn.parse(admin)):
        addresses = await ensure_roles(admin, roles)
    files.derived("DATABASE_URL", admin)
    if addresses[ROLE] != admin:
        files.derived("REPORT_DATABASE_URL", addresses[ROLE])
    return DatabaseFiles(
        token=files.derived("TOKEN_DATABASE_URL", addresses["tokhub_token"]),
        sync=files.derived("SYNC_DATABASE_URL", addresses["tokhub_sync"]),
        gateway=files.derived("GATEWAY_DATABASE_URL", addresses["tokhub_gateway"]),
    )


class DatabaseUnusable(Exception):
    """The database does not serve; the text says which, why and what to do, without its user and password."""


@contextmanager
def database_named(dsn: Dsn) -> Iterator[None]:
    """Raise DatabaseUnusable for a database that does not serve, and WrongSetting for an address that cannot."""
    try:
        yield
    except StorageUnavailable as error:
        raise DatabaseUnusable(
            f"The database at {places(dsn)} cannot be used: {obstacle(error.__cause__)}. Start it, or correct "
            "DATABASE_URL; without DATABASE_URL, `make run` brings a database of its own."
        ) from None
    except asyncpg.ClientConfigurationError:
        raise WrongSetting(
            "DATABASE_URL: an option behind the ? has a value that does not exist; sslmode is one of disable, allow, "
            "prefer, require, verify-ca and verify-full."
        ) from None


def places(dsn: Dsn) -> str:
    """Return host and port, of each server when there are several."""
    named = (host if re.search(r":\d+$", host) else f"{host or 'localhost'}:5432" for host in dsn.hosts.split(","))
    return ",".join(named)


def secret(files: SecretFiles, name: str) -> Secret:
    """Return a generated secret."""
    return Secret(files.given_or_generated(name).read_text(encoding="utf-8"))
