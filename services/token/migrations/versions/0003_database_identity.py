"""The database's own id, which a journal carries too."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of one row."""
    op.execute("""
        CREATE TABLE credentials.database_identity (
            id uuid NOT NULL,
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
        )
    """)
