"""What may be told of connections and shops to people who read with SQL: never a token, not even a sealed one."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the views; the views of schema tokhub_report are made of the first two."""
    op.execute("""
        CREATE VIEW credentials.connection_facts AS
        SELECT id, number, provider, owner_kind, owner_id, team_id, account_id, status, reason, scopes,
               access_expires_at, refresh_expires_at, connected_at, updated_at
        FROM credentials.connections
    """)
    op.execute("""
        CREATE VIEW credentials.shop_facts AS
        SELECT number, connection_id, shop_id, name, region FROM credentials.shops
    """)
    op.execute("""
        CREATE VIEW credentials.refresh_tiktokshops_token AS
        SELECT shop.number AS shop_number, shop.name::varchar AS shop_name, shop.shop_id::varchar AS shop_id,
               shop.cipher::varchar AS shop_cipher,
               extract(epoch FROM grant_.access_expires_at)::bigint AS access_token_expire_in,
               extract(epoch FROM grant_.refresh_expires_at)::bigint AS refresh_token_expire_in,
               grant_.account_id::varchar AS open_id, NULL::varchar AS seller_name,
               shop.region::varchar AS seller_base_region, shop.name::varchar AS shop_name_tiktok,
               grant_.connected_at AS created_at, grant_.updated_at
        FROM credentials.shops shop JOIN credentials.connections grant_ ON grant_.id = shop.connection_id
        WHERE grant_.status <> 'DISCONNECTED'
    """)
    op.execute("COMMENT ON COLUMN credentials.refresh_tiktokshops_token.access_token_expire_in IS 'Unix seconds'")
    op.execute("COMMENT ON COLUMN credentials.refresh_tiktokshops_token.refresh_token_expire_in IS 'Unix seconds'")
