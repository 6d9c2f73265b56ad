"""Where PgQueuer keeps its tables, and how a migration installs them."""

from typing import Any

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from sqlalchemy import Connection


def queue_settings() -> DBSettings:
    """Return PgQueuer's names, spelled out so that no variable of the environment (FUNCTION, CHANNEL) changes one."""
    return DBSettings(
        prefix="",
        db_schema="reporting",
        channel=Channel("reporting_pgqueuer"),
        function="fn_pgqueuer_changed",
        trigger="tg_pgqueuer_changed",
        queue_table="pgqueuer",
        queue_table_log="pgqueuer_log",
        statistics_table="pgqueuer_statistics",
        schedules_table="pgqueuer_schedules",
        queue_status_type="pgqueuer_status",
    )


def install_queue(connection: Connection) -> None:
    """Create PgQueuer's objects inside the migration's transaction."""
    script = QueryBuilderEnvironment(queue_settings()).build_install_query(create_schema=False)
    # A script of several statements: only the driver itself takes those.
    adapted: Any = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(script))
