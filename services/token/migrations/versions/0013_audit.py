"""The timeline becomes the one audit trail: who asked, keys beside connections, and rows that nobody changes."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add who asked, let rows be about keys, and refuse changes."""
    op.execute("""
        ALTER TABLE credentials.connection_events
            ADD COLUMN actor text NOT NULL DEFAULT '',
            ALTER COLUMN connection_id DROP NOT NULL,
            ALTER COLUMN epoch SET DEFAULT 0,
            ALTER COLUMN generation SET DEFAULT 0,
            DROP CONSTRAINT connection_events_kind_check
    """)
    op.execute("""
        COMMENT ON COLUMN credentials.connection_events.connection_id IS
            'NULL for what concerns keys; the reason names one'
    """)
    op.execute("""
        ALTER TABLE credentials.connection_events
            ADD CONSTRAINT connection_events_kind_check CHECK (kind IN (
                'CONNECTED', 'IMPORTED', 'REFRESH_INTENT', 'REFRESHED', 'REFRESH_FAILED', 'SUSPECT', 'REAUTH_REQUIRED',
                'DISCONNECTED', 'SHOPS_LEARNT', 'SHOP_REMOVED', 'EXPIRY_ANNOUNCED', 'DOUBLE_SPEND',
                'KEY_ACTIVATED', 'ROTATION_BEGUN', 'ROTATION_DONE', 'VERIFY_BEGUN', 'VERIFIED')),
            ADD CONSTRAINT connection_events_about CHECK ((connection_id IS NULL) = (kind IN (
                'KEY_ACTIVATED', 'ROTATION_BEGUN', 'ROTATION_DONE', 'VERIFY_BEGUN', 'VERIFIED')))
    """)
    op.execute("""
        CREATE FUNCTION credentials.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a row of the audit trail is never changed' USING ERRCODE = 'insufficient_privilege';
        END $$
    """)
    # Not of xid: a restored dump gets its rows' order from this server. Old rows are deleted by retention.
    op.execute("""
        CREATE TRIGGER never_changed BEFORE UPDATE OF
            id, connection_id, at, kind, epoch, generation, reason, replica, request_id, actor
            ON credentials.connection_events FOR EACH ROW EXECUTE FUNCTION credentials.refuse_change()
    """)
