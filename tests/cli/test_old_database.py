"""The other system's database is only read, and nothing of the reading stays behind in it."""

import asyncpg

from cli.moving.old_database import APPLICATION, open_old_database
from libs.secret import Secret

LAST = "SELECT query FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()"


async def test_nothing_is_set_in_a_session_that_a_pooler_hands_on(database_dsn: str) -> None:
    async with open_old_database(Secret(database_dsn)) as old:
        look = await asyncpg.connect(database_dsn)
        at_first = await look.fetchval(LAST, APPLICATION)
        await old.sessions()
        then = await look.fetchval(LAST, APPLICATION)
        await look.close()

    assert (at_first, then) == ("", "COMMIT;")
