"""What measurements stand on: a PostgreSQL of their own, databases of the token service in it, and its settings."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from benchmarks.processes import family_cpu_seconds
from libs.database.embedded import EmbeddedPostgres
from libs.database.migrations import migrate
from libs.database.pool import Pool, open_pool
from libs.secret import Secret
from services.token.__main__ import MIGRATIONS, SCHEMA

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A migrated database of the token service, empty at first."""

    dsn: Secret

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Pool]:
        """Yield a pool whose unqualified names mean the service's schema."""
        async with open_pool(self.dsn.reveal(), application="benchmarks", schema=SCHEMA) as pool:
            yield pool


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A server that is as durable as the suite's own, a directory for files, and keys of this run."""

    postgres: EmbeddedPostgres
    directory: Path
    key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    state_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def database_cpu_seconds(self) -> float:
        """User and system time of the server until now."""
        return family_cpu_seconds(self.postgres.process_id)

    async def database(self, name: str) -> Database:
        """Create a database."""
        connection = await asyncpg.connect(self.postgres.dsn())
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        await migrate(self.postgres.dsn(name), MIGRATIONS, SCHEMA)
        return Database(dsn=Secret(self.postgres.dsn(name)))

    def settings(self, database: Database, provider: str = NOBODY, **changes: str) -> Mapping[str, str]:
        """Return what a token service needs; it refreshes nothing by itself, all else is as it is shipped."""
        return {
            "DATABASE_URL": database.dsn.reveal(),
            "TOKEN_LISTEN": "127.0.0.1:0",
            "TOKEN_METRICS_PORT": "0",
            "REFRESH_AHEAD_CONCURRENCY": "0",
            "JOURNAL_DIR": str(self.directory / "journal"),
            "TIKTOK_CLIENT_KEY": "benchmark",
            "TIKTOK_CLIENT_SECRET": "benchmark",
            "TIKTOK_REDIRECT_URI": f"{NOBODY}/callback",
            "TIKTOK_API_BASE_URL": provider,
            "TIKTOK_SHOP_APP_KEY": "benchmark",
            "TIKTOK_SHOP_APP_SECRET": "benchmark",
            "TIKTOK_SHOP_SERVICE_ID": "benchmark",
            "TIKTOK_SHOP_TOKEN_BASE_URL": provider,
            "TIKTOK_SHOP_API_BASE_URL": provider,
            "TOKEN_ENC_KEY": self.key,
            "STATE_SECRET": self.state_secret,
            **changes,
        }


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Yield the ground, gone afterwards."""
    with TemporaryDirectory(prefix="tokhub-bench-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory / "postgres") as postgres:
            yield Ground(postgres=postgres, directory=directory)
