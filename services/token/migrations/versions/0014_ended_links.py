"""Consent links know whom they are for, so that a disconnect ends them."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the owner, empty for links that are under way, and the end."""
    op.execute("""
        ALTER TABLE credentials.authorization_links
            ADD COLUMN provider text, ADD COLUMN owner_kind text, ADD COLUMN owner_id text,
            ADD COLUMN ended_at timestamptz
    """)
    op.execute("CREATE INDEX authorization_links_owner ON credentials.authorization_links (owner_id, owner_kind)")
