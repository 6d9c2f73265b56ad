"""Timelines tell of refresh tokens that may have been spent twice."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Allow the kind."""
    op.execute("ALTER TABLE credentials.connection_events DROP CONSTRAINT connection_events_kind_check")
    op.execute("""
        ALTER TABLE credentials.connection_events ADD CONSTRAINT connection_events_kind_check CHECK (kind IN (
            'CONNECTED', 'REFRESH_INTENT', 'REFRESHED', 'REFRESH_FAILED', 'SUSPECT', 'REAUTH_REQUIRED',
            'DISCONNECTED', 'SHOP_REMOVED', 'EXPIRY_ANNOUNCED', 'DOUBLE_SPEND'))
    """)
