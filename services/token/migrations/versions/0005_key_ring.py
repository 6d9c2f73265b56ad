"""Which keys the replicas know, which one seals, how often each has sealed, and how a rotation stands."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add to the canaries what is known of their keys, and create the tables of replicas and rotation."""
    op.execute("""
        ALTER TABLE credentials.key_canaries
            ADD COLUMN activated_at timestamptz,
            ADD COLUMN encryptions bigint NOT NULL DEFAULT 0
    """)
    op.execute("""
        COMMENT ON COLUMN credentials.key_canaries.activated_at IS
            'when this key began to seal; the key with the newest one seals now, and no key begins twice'
    """)
    # Until now only a key that sealed had a canary.
    op.execute("UPDATE credentials.key_canaries SET activated_at = created_at")
    op.execute("""
        CREATE TABLE credentials.key_replicas (
            replica text NOT NULL,
            key_id text NOT NULL,
            preferred boolean NOT NULL,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (replica, key_id)
        )
    """)
    op.execute("""
        CREATE TABLE credentials.key_rotation (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            key_id text NOT NULL,
            stage text NOT NULL CHECK (stage IN ('REWRITING', 'SETTLING', 'DONE')),
            total bigint NOT NULL DEFAULT 0,
            rewritten bigint NOT NULL DEFAULT 0,
            unreadable bigint NOT NULL DEFAULT 0,
            holder text NOT NULL,
            lease_until timestamptz,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
    """)
