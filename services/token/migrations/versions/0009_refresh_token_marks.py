"""Keyed hashes of every Shop refresh token that was ever stored, so that an old list of tokens is recognised."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE credentials.refresh_token_marks (
            mark bytea PRIMARY KEY,
            connection_id uuid NOT NULL,
            seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
    """)
    op.execute("CREATE INDEX refresh_token_marks_connection ON credentials.refresh_token_marks (connection_id)")
