"""`python -m services.NAME migrate`: brings a service's schema to this release's revision, and does nothing else."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

from pydantic import AliasChoices, Field

from libs.errors import ServerMisconfig, StorageUnavailable
from libs.secret import Secret
from libs.settings import EX_CONFIG, EX_TEMPFAIL, ServiceSettings, load

WORD = "migrate"


class DatabaseSettings(ServiceSettings):
    """Where the database is."""

    database_url: Secret = Field(validation_alias=AliasChoices("DATABASE_URL", "HP_marketplace_db_ddl"))


def migrate_instead(schema: str, prepare: Callable[[str], Awaitable[None]]) -> None:
    """End the process after prepare has had the database's address, if that is all that the command line asks for."""
    if sys.argv[1:] == [WORD]:
        migrate_and_exit(schema, prepare)


def migrate_and_exit(schema: str, prepare: Callable[[str], Awaitable[None]]) -> NoReturn:
    """End the process: status 0, 75 for a database that cannot be used now, 78 for one that is newer."""
    dsn = load(DatabaseSettings).database_url.reveal()

    async def prepared() -> None:
        await prepare(dsn)

    try:
        asyncio.run(prepared())
    except (ServerMisconfig, StorageUnavailable) as error:
        sys.stderr.write(f"The schema {schema} could not be set up: {error}\n")
        sys.exit(EX_TEMPFAIL if isinstance(error, StorageUnavailable) else EX_CONFIG)
    sys.stdout.write(f"The schema {schema} is set up.\n")
    sys.exit(0)
