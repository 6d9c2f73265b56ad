"""Schedules as they were last seen, and what came of their ticks."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE schedules (
            name       text COLLATE "C" PRIMARY KEY,
            expression text NOT NULL,
            zone       text NOT NULL,
            since      timestamptz NOT NULL
        )
    """)
    op.execute("""
        COMMENT ON COLUMN schedules.since IS
            'when a service first ran with this expression and zone: older ticks are not made up for'
    """)
    op.execute("""
        CREATE TABLE schedule_fires (
            schedule   text COLLATE "C" NOT NULL,
            fire_at    timestamptz NOT NULL,
            outcome    text NOT NULL CHECK (outcome IN ('STARTED', 'OVERLAPPED', 'MISSED')),
            run_id     uuid,
            settled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (schedule, fire_at)
        )
    """)
