"""The views that people read with SQL: brought up to date, and shown to the reporting role."""

from pathlib import Path

import asyncpg
import structlog

from libs.database.errors import storage_errors
from libs.database.migrations import migrate
from libs.database.report_role import ROLE, show_to_reports

# Of the role's own name: "$user" in the usual search_path finds it, also after SET ROLE.
SCHEMA = ROLE
MIGRATIONS = Path(__file__).parents[2] / "report_views"
VIEWS = (
    "stores",
    "store_accounts",
    "tiktok_user_daily",
    "tiktok_video_daily",
    "tiktok_creator_daily",
    "sync_logs",
    "tiktok_shop_integrations",
    "tiktok_shop_auth",
    "tiktok_account",
)
MAY_HAVE_VIEWS = """
SELECT coalesce(
    (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),
    has_database_privilege(current_database(), 'CREATE'))
"""

log = structlog.get_logger()


async def install_report_views(dsn: str) -> None:
    """Migrate the views and show them; where the server does not permit it, the service does without and says so."""
    if not await permitted(dsn):
        log.warning(
            "there are no views to report with: create their schema and start again",
            statement=f"CREATE SCHEMA {SCHEMA} AUTHORIZATION the role of the sync service",
        )
        return
    await migrate(dsn, MIGRATIONS, SCHEMA)
    await show_to_reports(dsn, [f"{SCHEMA}.{view}" for view in VIEWS])


async def permitted(dsn: str) -> bool:
    """Return whether this role may create the views."""
    with storage_errors():
        connection = await asyncpg.connect(dsn)
        try:
            return bool(await connection.fetchval(MAY_HAVE_VIEWS, SCHEMA))
        finally:
            await connection.close()
