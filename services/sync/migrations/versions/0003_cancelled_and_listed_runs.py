"""Runs that end by being cancelled, and runs over a list of subjects."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Let runs be cancelled, and remember what a run over a list covers."""
    op.execute("ALTER TABLE sync_runs DROP CONSTRAINT sync_runs_state_check")
    op.execute("""
        ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_state_check
            CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled'))
    """)
    op.execute('ALTER TABLE sync_runs ADD COLUMN listed text[] COLLATE "C"')
    op.execute("COMMENT ON COLUMN sync_runs.listed IS 'codes of the stores of a run over a list; NULL for other runs'")
