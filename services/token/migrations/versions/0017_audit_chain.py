"""Recorded calls become a chain: each row is sealed with the one before, under a key that is not in here."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the place of a row and its seal; rows of before, and of replicas of before, have none."""
    op.execute("""
        ALTER TABLE credentials.audit_calls
            ADD COLUMN sequence bigint UNIQUE,
            ADD COLUMN key_id   text,
            ADD COLUMN previous bytea,
            ADD COLUMN mac      bytea
    """)
    op.execute("COMMENT ON COLUMN credentials.audit_calls.sequence IS 'place in the chain, without gaps'")
    op.execute("COMMENT ON COLUMN credentials.audit_calls.previous IS 'mac of the row before'")
