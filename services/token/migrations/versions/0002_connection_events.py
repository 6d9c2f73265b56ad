"""What happened to connections, row by row; written by the statements that make it happen, never changed."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE credentials.connection_events (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            connection_id uuid NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            kind text NOT NULL CHECK (kind IN (
                'CONNECTED', 'REFRESH_INTENT', 'REFRESHED', 'REFRESH_FAILED', 'SUSPECT', 'REAUTH_REQUIRED',
                'DISCONNECTED')),
            epoch bigint NOT NULL,
            generation bigint NOT NULL,
            reason text NOT NULL DEFAULT '',
            replica text NOT NULL DEFAULT '',
            request_id text NOT NULL DEFAULT ''
        )
    """)
    op.execute("""
        COMMENT ON COLUMN credentials.connection_events.xid IS
            'the transaction that wrote the row: ids are given before commit, so readers in order go by (xid, id)'
    """)
    op.execute("CREATE INDEX connection_events_timeline ON credentials.connection_events (connection_id, id)")
    op.execute("CREATE INDEX connection_events_order ON credentials.connection_events (xid, id)")
    op.execute("CREATE INDEX connection_events_age ON credentials.connection_events (at)")
