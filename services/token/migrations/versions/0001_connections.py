"""Connections, the links that make them, answered refresh requests, and the canaries of the key ring."""

from alembic import op

revision = "0001"
down_revision = None

CONNECTIONS = """
    CREATE TABLE credentials.connections (
        id uuid PRIMARY KEY,
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        provider text NOT NULL,
        owner_kind text NOT NULL,
        owner_id text NOT NULL,
        team_id bigint NOT NULL DEFAULT 1,
        account_id text NOT NULL,
        status text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPECT', 'REAUTH_REQUIRED', 'DISCONNECTED')),
        reason text NOT NULL DEFAULT '',
        scopes text[] NOT NULL DEFAULT '{}',

        epoch bigint NOT NULL,
        generation bigint NOT NULL,
        access_token bytea NOT NULL,
        refresh_token bytea NOT NULL,

        access_given bigint NOT NULL,
        refresh_given bigint,
        received_at timestamptz NOT NULL,
        access_expires_at timestamptz NOT NULL,
        refresh_expires_at timestamptz,

        lease_owner text,
        lease_number bigint NOT NULL DEFAULT 0,
        lease_until timestamptz,
        intent_generation bigint,
        intent_owner text,
        intent_at timestamptz,

        failures integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz,
        connected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (provider, owner_kind, owner_id)
    ) WITH (fillfactor = 70)
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(CONNECTIONS)
    op.execute("""
        COMMENT ON COLUMN credentials.connections.access_given IS
            'what the provider said of the access token''s end, as it said it: seconds, or a Unix time'
    """)
    op.execute("""
        CREATE UNIQUE INDEX connections_live_account ON credentials.connections (provider, account_id)
            WHERE status <> 'DISCONNECTED'
    """)
    op.execute("""
        CREATE TABLE credentials.authorization_links (
            id uuid PRIMARY KEY,
            expires_at timestamptz NOT NULL,
            spent_at timestamptz
        )
    """)
    op.execute("CREATE INDEX authorization_links_expiry ON credentials.authorization_links (expires_at)")
    op.execute("""
        CREATE TABLE credentials.refresh_requests (
            connection_id uuid NOT NULL REFERENCES credentials.connections (id) ON DELETE CASCADE,
            request_id text NOT NULL,
            generation bigint NOT NULL,
            answered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (connection_id, request_id)
        )
    """)
    op.execute("CREATE INDEX refresh_requests_age ON credentials.refresh_requests (answered_at)")
    op.execute("""
        CREATE TABLE credentials.key_canaries (
            key_id text PRIMARY KEY,
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
    """)
