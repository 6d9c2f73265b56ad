"""Whose run of many refreshes it is, so that one whose process died is known at once."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE credentials.refresh_runs ADD COLUMN holder text NOT NULL DEFAULT ''")
    op.execute("""
        COMMENT ON COLUMN credentials.refresh_runs.holder IS
            'application_name of the process''s sessions; empty when it is not known'
    """)
