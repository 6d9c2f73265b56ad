"""Runs that refresh many connections, and how each connection's part ended."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE credentials.refresh_runs (
            id uuid PRIMARY KEY,
            scope text NOT NULL,
            state text NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'FINISHED', 'STOPPED', 'LOST')),
            refreshed bigint NOT NULL DEFAULT 0,
            skipped bigint NOT NULL DEFAULT 0,
            failed bigint NOT NULL DEFAULT 0,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            lease_until timestamptz NOT NULL,
            ended_at timestamptz
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX refresh_runs_one_of_a_scope ON credentials.refresh_runs (scope) WHERE ended_at IS NULL
    """)
    op.execute("""
        CREATE TABLE credentials.refresh_outcomes (
            run_id uuid NOT NULL REFERENCES credentials.refresh_runs (id) ON DELETE CASCADE,
            sequence bigint NOT NULL,
            connection_id uuid NOT NULL,
            outcome text NOT NULL CHECK (outcome IN ('REFRESHED', 'SKIPPED', 'FAILED')),
            reason text NOT NULL,
            message text NOT NULL,
            access_expires_at timestamptz NOT NULL,
            seconds_left double precision NOT NULL,
            PRIMARY KEY (run_id, sequence)
        )
    """)
