"""When a connection is refreshed in the background: between half and four fifths of its access token's life."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the time, the trigger that sets it, and the index that finds who is due."""
    op.execute("ALTER TABLE credentials.connections ADD COLUMN refresh_after timestamptz")
    # Drawn anew for each token: what was connected in the same minute is not refreshed in the same minute.
    op.execute("""
        CREATE FUNCTION credentials.choose_refresh_time() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.refresh_after := NEW.received_at + (NEW.access_expires_at - NEW.received_at) * (0.5 + 0.3 * random());
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER choose_refresh_time BEFORE INSERT OR UPDATE OF received_at, access_expires_at
            ON credentials.connections FOR EACH ROW EXECUTE FUNCTION credentials.choose_refresh_time()
    """)
    op.execute("UPDATE credentials.connections SET received_at = received_at")
    op.execute("""
        CREATE INDEX connections_due ON credentials.connections (refresh_after)
            WHERE status IN ('ACTIVE', 'SUSPECT')
    """)
