"""Who has signed in to the console; neither the token nor the key can be told from a row."""

from alembic import op

revision = "0002"
down_revision = "0001"

SESSIONS = """
CREATE TABLE sessions (
    id       bytea PRIMARY KEY,
    key_name text COLLATE "C" NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at  timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(SESSIONS)
