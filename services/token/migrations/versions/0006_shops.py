"""Shops of TikTok Shop grants, and when to ask for those that are not known yet."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        ALTER TABLE credentials.connections
            ADD COLUMN wanted_shop text NOT NULL DEFAULT '',
            ADD COLUMN shops_due_at timestamptz
    """)
    op.execute("""
        CREATE INDEX connections_shops_due ON credentials.connections (shops_due_at) WHERE shops_due_at IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE credentials.shops (
            number integer PRIMARY KEY,
            connection_id uuid REFERENCES credentials.connections (id) ON DELETE SET NULL,
            shop_id text UNIQUE,
            cipher text NOT NULL,
            name text NOT NULL DEFAULT '',
            region text NOT NULL DEFAULT '',
            seller_type text NOT NULL DEFAULT ''
        )
    """)
    op.execute("CREATE INDEX shops_connection ON credentials.shops (connection_id)")
    op.execute("""
        COMMENT ON COLUMN credentials.shops.shop_id IS
            'NULL for an imported shop of which only the cipher is known, until TikTok has told its shops'
    """)
