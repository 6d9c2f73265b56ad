"""Events of providers that were seen, and what they do to connections."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table, and let connections tell of shops that left and consents that end."""
    op.execute("""
        CREATE TABLE credentials.provider_events (
            provider text NOT NULL,
            key text NOT NULL,
            received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (provider, key)
        )
    """)
    op.execute("CREATE INDEX provider_events_age ON credentials.provider_events (received_at)")
    op.execute("ALTER TABLE credentials.connection_events DROP CONSTRAINT connection_events_kind_check")
    op.execute("""
        ALTER TABLE credentials.connection_events ADD CONSTRAINT connection_events_kind_check CHECK (kind IN (
            'CONNECTED', 'REFRESH_INTENT', 'REFRESHED', 'REFRESH_FAILED', 'SUSPECT', 'REAUTH_REQUIRED',
            'DISCONNECTED', 'SHOP_REMOVED', 'EXPIRY_ANNOUNCED'))
    """)
