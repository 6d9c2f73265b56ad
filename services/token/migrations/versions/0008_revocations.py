"""Grants of disconnected connections that are still to be ended at TikTok."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE credentials.revocations (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            connection_id uuid NOT NULL REFERENCES credentials.connections (id) ON DELETE CASCADE,
            provider text NOT NULL,
            account_id text NOT NULL,
            epoch bigint NOT NULL,
            generation bigint NOT NULL,
            access_token bytea NOT NULL,
            refresh_token bytea NOT NULL,
            access_expires_at timestamptz NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            next_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
    """)
    op.execute("CREATE INDEX revocations_due ON credentials.revocations (next_at)")
    op.execute("CREATE INDEX revocations_connection ON credentials.revocations (connection_id)")
