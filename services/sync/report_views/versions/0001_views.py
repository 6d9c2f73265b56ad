"""Stores, accounts, snapshots and logs as monitoring queries name them; creators and deleted stores are left out."""

from alembic import op

revision = "0001"
down_revision = None

STORES = """
CREATE VIEW tokhub_report.stores AS
SELECT store_code, store_name, pic_name, pic_contact, created_at, last_sync_at AS last_sync_time
FROM reporting.stores WHERE archived_at IS NULL
"""

USER_DAILY = """
CREATE VIEW tokhub_report.tiktok_user_daily AS
SELECT id, day.store_code, snapshot_date, follower_count, following_count, likes_count, video_count,
       display_name, avatar_url, day.created_at
FROM reporting.tiktok_user_daily day JOIN reporting.stores ON stores.store_code = day.subject_id
WHERE day.subject_kind = 'store' AND stores.archived_at IS NULL
"""

VIDEO_DAILY = """
CREATE VIEW tokhub_report.tiktok_video_daily AS
SELECT id, day.store_code, snapshot_date, video_id, view_count, like_count, comment_count, share_count,
       description, day.created_at
FROM reporting.tiktok_video_daily day JOIN reporting.stores ON stores.store_code = day.subject_id
WHERE day.subject_kind = 'store' AND stores.archived_at IS NULL
"""

CREATOR_DAILY = """
CREATE VIEW tokhub_report.tiktok_creator_daily AS
SELECT id, subject_id AS user_id, snapshot_date, username, display_name, avatar_url, follower_count,
       following_count, likes_count, video_count, fetched_at
FROM reporting.tiktok_user_daily WHERE subject_kind = 'user'
"""

# A line about a whole job has no store; neither has a creator's, which is nobody's business here.
SYNC_LOGS = """
CREATE VIEW tokhub_report.sync_logs AS
SELECT id, store_code, job_name, status, message, raw_error, duration_ms, run_time
FROM reporting.sync_logs WHERE subject_kind IS DISTINCT FROM 'user'
"""

# The functions read views of the token service with the rights of whoever asks: this schema's owner has none there,
# and that service may create its views later than this one. Being plain SQL, they are planned as part of the query.
ACCOUNTS = """
CREATE FUNCTION tokhub_report.read_store_accounts() RETURNS TABLE (
    id bigint, store_code varchar, platform varchar, account_identifier varchar, token_expires_at timestamptz,
    refresh_token_expires_at timestamptz, status varchar, connected_at timestamptz, last_sync_time timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT fact.number, store.store_code, 'tiktok'::varchar, fact.account_id::varchar, fact.access_expires_at,
           fact.refresh_expires_at,
           CASE fact.status WHEN 'REAUTH_REQUIRED' THEN 'NEED_RECONNECT' WHEN 'DISCONNECTED' THEN 'DISCONNECTED'
                            ELSE 'CONNECTED' END::varchar,
           fact.connected_at, store.last_sync_time
    FROM credentials.connection_facts fact
    JOIN tokhub_report.stores store ON store.store_code = fact.owner_id
    WHERE fact.provider = 'login_kit' AND fact.owner_kind = 'store'
$$
"""

INTEGRATIONS = """
CREATE FUNCTION tokhub_report.read_shop_integrations() RETURNS TABLE (
    id bigint, team_id bigint, status varchar, access_token_expires_at timestamptz,
    refresh_token_expires_at timestamptz, error_message text, created_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT number, team_id,
           CASE status WHEN 'REAUTH_REQUIRED' THEN 'expired' WHEN 'DISCONNECTED' THEN 'disconnected'
                       ELSE 'active' END::varchar,
           access_expires_at, refresh_expires_at, nullif(reason, ''), connected_at, updated_at
    FROM credentials.connection_facts WHERE provider = 'tiktok_shop'
$$
"""

SHOP_AUTH = """
CREATE FUNCTION tokhub_report.read_shop_auth() RETURNS TABLE (
    id uuid, "userId" text, "shopId" text, "shopName" text, "accessTokenExpiresAt" timestamptz,
    "refreshTokenExpiresAt" timestamptz, scope text, region text, "isActive" boolean, "createdAt" timestamptz,
    "updatedAt" timestamptz, "deletedAt" timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT fact.id, fact.owner_id, shop.shop_id, shop.name, fact.access_expires_at, fact.refresh_expires_at,
           array_to_string(fact.scopes, ','), shop.region, fact.status IN ('ACTIVE', 'SUSPECT'), fact.connected_at,
           fact.updated_at, CASE fact.status WHEN 'DISCONNECTED' THEN fact.updated_at END
    FROM credentials.connection_facts fact
    LEFT JOIN credentials.shop_facts shop ON shop.connection_id = fact.id
    WHERE fact.provider = 'tiktok_shop' AND fact.owner_kind = 'user'
$$
"""

CREATORS = """
CREATE FUNCTION tokhub_report.read_creators() RETURNS TABLE (
    id bigint, user_id text, tiktok_user_id text, username text, display_name text, avatar_url text,
    follower_count bigint, following_count bigint, like_count bigint, video_count bigint,
    access_token_expire_in timestamptz, refresh_token_expire_in timestamptz, is_active boolean,
    last_sync_at timestamptz, connected_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT fact.number, fact.owner_id, fact.account_id, day.username, day.display_name, day.avatar_url,
           day.follower_count, day.following_count, day.likes_count, day.video_count, fact.access_expires_at,
           fact.refresh_expires_at, fact.status IN ('ACTIVE', 'SUSPECT'), day.fetched_at, fact.connected_at,
           fact.updated_at
    FROM credentials.connection_facts fact
    LEFT JOIN LATERAL (
        SELECT * FROM tokhub_report.tiktok_creator_daily daily WHERE daily.user_id = fact.owner_id
        ORDER BY daily.snapshot_date DESC LIMIT 1
    ) day ON true
    WHERE fact.provider = 'login_kit' AND fact.owner_kind = 'user'
$$
"""

VIEWS = (
    "CREATE VIEW tokhub_report.store_accounts AS SELECT * FROM tokhub_report.read_store_accounts()",
    "CREATE VIEW tokhub_report.tiktok_shop_integrations AS SELECT * FROM tokhub_report.read_shop_integrations()",
    "CREATE VIEW tokhub_report.tiktok_shop_auth AS SELECT * FROM tokhub_report.read_shop_auth()",
    "CREATE VIEW tokhub_report.tiktok_account AS SELECT * FROM tokhub_report.read_creators()",
)


def upgrade() -> None:
    """Create the views."""
    for statement in (STORES, USER_DAILY, VIDEO_DAILY, CREATOR_DAILY, SYNC_LOGS):
        op.execute(statement)
    op.execute("SET LOCAL check_function_bodies = off")
    for statement in (ACCOUNTS, INTEGRATIONS, SHOP_AUTH, CREATORS, *VIEWS):
        op.execute(statement)
