from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from libs.database.dsn import Dsn
from libs.database.report_role import ROLE, show_to_reports
from libs.database.roles import ServiceRole, ensure_roles
from libs.secret import Secret
from services.sync.adapters.postgres.report_views import install_report_views
from services.token.__main__ import SHOWN
from tests.fixtures_postgres import Databases
from tests.sync.living_suite import LivingSuite, migrate_both
from tests.sync.snapshot_rows import account, days_ago, insert, video

Reporter: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
THEN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

SYNC_PERFORMANCE = """
SELECT
  job_name,
  COUNT(*) as runs,
  AVG(duration_ms)/1000 as avg_duration_sec,
  MIN(duration_ms)/1000 as min_duration_sec,
  MAX(duration_ms)/1000 as max_duration_sec,
  SUM(CASE WHEN status = 'SUCCESS' THEN 1 ELSE 0 END) as successful,
  SUM(CASE WHEN status = 'FAILED' THEN 1 ELSE 0 END) as failed
FROM sync_logs
WHERE run_time >= CURRENT_DATE - INTERVAL '7 days'
  AND store_code IS NULL  -- Job-level logs only
GROUP BY job_name
ORDER BY job_name;
"""
FAILING_STORES = """
SELECT
  store_code,
  COUNT(*) as failure_count,
  MAX(run_time) as last_failure,
  MAX(message) as last_error
FROM sync_logs
WHERE status = 'FAILED'
  AND run_time >= CURRENT_DATE - INTERVAL '7 days'
GROUP BY store_code
ORDER BY failure_count DESC
LIMIT 10;
"""
DATA_GROWTH = """
SELECT
  DATE(snapshot_date) as date,
  COUNT(DISTINCT store_code) as stores_synced,
  SUM(follower_count) as total_followers,
  SUM(video_count) as total_videos
FROM tiktok_user_daily
WHERE snapshot_date >= CURRENT_DATE - INTERVAL '30 days'
GROUP BY DATE(snapshot_date)
ORDER BY date DESC;
"""
INTEGRATIONS = """
SELECT
    id,
    team_id,
    status,
    access_token_expires_at,
    refresh_token_expires_at,
    error_message,
    created_at,
    updated_at
FROM tiktok_shop_integrations
WHERE status = 'active';
"""
COLUMNS = {
    "stores": "store_code store_name pic_name pic_contact created_at",
    "store_accounts": "id store_code platform account_identifier token_expires_at refresh_token_expires_at status "
    "connected_at last_sync_time",
    "tiktok_user_daily": "id store_code snapshot_date follower_count following_count likes_count video_count "
    "display_name avatar_url created_at",
    "tiktok_video_daily": "id store_code snapshot_date video_id view_count like_count comment_count share_count "
    "description created_at",
    "sync_logs": "id store_code job_name status message raw_error duration_ms run_time",
    "credentials.refresh_tiktokshops_token": "shop_number shop_name shop_id shop_cipher access_token_expire_in "
    "refresh_token_expire_in open_id seller_name seller_base_region shop_name_tiktok created_at updated_at",
    "tiktok_shop_auth": 'id "userId" "shopId" "shopName" "accessTokenExpiresAt" "refreshTokenExpiresAt" scope region '
    '"isActive" "createdAt" "updatedAt" "deletedAt"',
    "tiktok_account": "id user_id tiktok_user_id username display_name avatar_url follower_count following_count "
    "like_count video_count access_token_expire_in refresh_token_expire_in is_active last_sync_at connected_at "
    "updated_at",
}
READABLE = {
    "credentials.connection_facts",
    "credentials.shop_facts",
    "credentials.refresh_tiktokshops_token",
    *(f"{ROLE}.{name}" for name in (*COLUMNS, "tiktok_shop_integrations", "tiktok_creator_daily") if "." not in name),
}
RELATIONS = """
SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


async def connected_as_reporter(dsn: str) -> Reporter:
    """Log in as the role, which has no password of its own where a service made it."""
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"ALTER ROLE {ROLE} LOGIN PASSWORD 'reads'")
    await admin.close()
    return await asyncpg.connect(Dsn.parse(dsn).as_role(ROLE, "reads").reveal())


@pytest.fixture
async def reporter(suite: LivingSuite) -> AsyncIterator[Reporter]:
    await install_report_views(suite.dsn)
    await show_to_reports(suite.dsn, SHOWN)
    connection = await connected_as_reporter(suite.dsn)
    yield connection
    await connection.close()


async def connection_row(suite: LivingSuite, provider: str, owner: str, **more: Any) -> str:
    """Write a connection as the token service keeps it; its tokens are marked."""
    kind, _, name = owner.partition(":")
    values = {
        "id": str(uuid4()),
        "provider": provider,
        "owner_kind": kind,
        "owner_id": name,
        "account_id": f"open_{name}",
        "status": "ACTIVE",
        "scopes": ["user.info.basic", "video.list"],
        "epoch": 1,
        "generation": 1,
        "access_token": b"CNRYsealed",
        "refresh_token": b"CNRYsealed",
        "access_given": 1,
        "received_at": THEN,
        "access_expires_at": THEN,
        "refresh_expires_at": THEN + timedelta(days=1),
    } | more
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await suite.pool.execute(
        f"INSERT INTO credentials.connections ({', '.join(values)}) VALUES ({places})", *values.values()
    )
    return str(values["id"])


async def log_line(suite: LivingSuite, status: str, code: str | None, **more: Any) -> None:
    values = {
        "subject_kind": "store" if code else None,
        "subject_id": code,
        "job_name": "sync_user_daily",
        "status": status,
        "message": f"{status} of {code}",
        "duration_ms": 2_000,
    }
    await insert(suite, "sync_logs", values | more)


def plain(rows: Sequence[asyncpg.Record]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


async def test_only_lines_of_whole_jobs_have_no_store(suite: LivingSuite, reporter: Reporter) -> None:
    for status in ("SUCCESS", "FAILED", "SUCCESS"):
        await log_line(suite, status, None)
    await log_line(suite, "FAILED", "shop")
    await log_line(suite, "FAILED", "creator", subject_kind="user")

    assert plain(await reporter.fetch(SYNC_PERFORMANCE)) == [("sync_user_daily", 3, 2, 2, 2, 2, 1)]
    failing = await reporter.fetch(FAILING_STORES)
    assert {(row["store_code"], row["failure_count"], row["last_error"]) for row in failing} == {
        ("shop", 1, "FAILED of shop"),
        (None, 1, "FAILED of None"),
    }


async def test_data_growth_counts_neither_creators_nor_deleted_stores(suite: LivingSuite, reporter: Reporter) -> None:
    for code in ("a", "b", "gone"):
        await suite.add_store(code)
        await account(suite, code, 1, 100, video_count=7)
    await account(suite, "a", 1, 5_000, subject_kind="user")
    await suite.pool.execute("UPDATE reporting.stores SET archived_at = now() WHERE store_code = 'gone'")

    assert plain(await reporter.fetch(DATA_GROWTH)) == [(days_ago(1), 2, 200, 14)]


async def test_integrations_of_shops_are_told(suite: LivingSuite, reporter: Reporter) -> None:
    await connection_row(suite, "tiktok_shop", "user:u1", team_id=3)
    await connection_row(suite, "tiktok_shop", "user:u2", status="REAUTH_REQUIRED", reason="refused")
    await connection_row(suite, "login_kit", "user:u3")

    (row,) = await reporter.fetch(INTEGRATIONS)
    number = await suite.pool.fetchval("SELECT number FROM credentials.connections WHERE owner_id = 'u1'")
    assert (row["id"], row["team_id"], row["access_token_expires_at"], row["error_message"]) == (number, 3, THEN, None)
    assert plain(await reporter.fetch("SELECT status, error_message FROM tiktok_shop_integrations ORDER BY id")) == [
        ("active", None),
        ("expired", "refused"),
    ]


async def test_accounts_of_stores_have_the_status_of_the_api(suite: LivingSuite, reporter: Reporter) -> None:
    shown = {"ACTIVE": "CONNECTED", "SUSPECT": "CONNECTED", "REAUTH_REQUIRED": "NEED_RECONNECT"}
    for code, status in enumerate([*shown, "DISCONNECTED"]):
        await suite.add_store(f"s{code}")
        await connection_row(suite, "login_kit", f"store:s{code}", status=status)
    await connection_row(suite, "login_kit", "store:never_added")
    await suite.pool.execute("UPDATE reporting.stores SET last_sync_at = $1 WHERE store_code = 's0'", THEN)

    rows = await reporter.fetch("SELECT * FROM store_accounts ORDER BY store_code")

    assert [row["status"] for row in rows] == [*shown.values(), "DISCONNECTED"]
    first = rows[0]
    assert (first["platform"], first["account_identifier"]) == ("tiktok", "open_s0")
    assert (first["token_expires_at"], first["last_sync_time"]) == (THEN, THEN)


async def test_shops_are_told_with_unix_seconds(suite: LivingSuite, reporter: Reporter) -> None:
    of = await connection_row(suite, "tiktok_shop", "user:u1")
    ended = await connection_row(suite, "tiktok_shop", "user:u2", status="DISCONNECTED")
    for number, connection in enumerate((of, ended), start=1):
        await suite.pool.execute(
            "INSERT INTO credentials.shops (number, connection_id, shop_id, cipher, name, region)"
            " VALUES ($1, $2, $3, 'cipher', 'Wellness', 'ID')",
            *(number, connection, f"shop_{number}"),
        )

    (shop,) = await reporter.fetch("SELECT * FROM credentials.refresh_tiktokshops_token")
    assert (shop["shop_number"], shop["shop_id"], shop["shop_name"]) == (1, "shop_1", "Wellness")
    assert shop["access_token_expire_in"] == int(THEN.timestamp())
    auth = await reporter.fetch('SELECT "userId", "shopId", scope, "isActive" FROM tiktok_shop_auth ORDER BY "userId"')
    assert plain(auth) == [
        ("u1", "shop_1", "user.info.basic,video.list", True),
        ("u2", "shop_2", "user.info.basic,video.list", False),
    ]


async def test_creators_are_told_with_their_newest_figures(suite: LivingSuite, reporter: Reporter) -> None:
    await connection_row(suite, "login_kit", "user:u1")
    for days, followers in ((2, 10), (1, 12)):
        await account(suite, "u1", days, followers, subject_kind="user", username="jane", likes_count=5)
    await account(suite, "u1", 0, 99, subject_kind="store")

    (row,) = await reporter.fetch("SELECT * FROM tiktok_account")
    assert (row["user_id"], row["tiktok_user_id"], row["username"], row["is_active"]) == ("u1", "open_u1", "jane", True)
    assert (row["follower_count"], row["like_count"]) == (12, 5)


async def test_the_views_have_the_columns_that_are_asked_for(reporter: Reporter) -> None:
    for view, columns in COLUMNS.items():
        assert await reporter.fetch(f"SELECT {', '.join(columns.split())} FROM {view}") == []


async def test_the_role_reads_the_views_and_nothing_else(suite: LivingSuite, reporter: Reporter) -> None:
    relations = [row["name"] for row in await suite.pool.fetch(RELATIONS)]
    readable = set()
    for name in relations:
        try:
            await reporter.fetch(f"SELECT * FROM {name} LIMIT 1")
        except asyncpg.InsufficientPrivilegeError:
            continue
        readable.add(name)

    assert "credentials.connections" in relations
    assert readable == READABLE


async def test_no_view_has_a_token_in_it(suite: LivingSuite, reporter: Reporter) -> None:
    await suite.add_store("shop")
    for provider, owner in (("login_kit", "store:shop"), ("login_kit", "user:u"), ("tiktok_shop", "user:u")):
        await connection_row(suite, provider, owner)
    await video(suite, "shop", 0, "v", 1)

    for name in READABLE:
        rows = await reporter.fetch(f"SELECT * FROM {name}")
        assert not {"access_token", "refresh_token", "accessToken", "refreshToken"} & {
            column for row in rows for column in dict(row)
        }
        assert "CNRYsealed" not in repr(rows)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stores",
        "UPDATE sync_logs SET message = ''",
        "INSERT INTO stores (store_code) VALUES ('x')",
        f"CREATE TABLE {ROLE}.mine ()",
        "CREATE TABLE public.mine ()",
    ],
)
async def test_the_role_changes_nothing(reporter: Reporter, statement: str) -> None:
    # Even after it has allowed itself to write.
    await reporter.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reporter.execute(statement)


async def test_the_session_of_the_role_only_reads(reporter: Reporter) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reporter.execute("CREATE TEMPORARY TABLE mine ()")


async def test_services_with_roles_of_their_own_show_the_same(fresh_databases: Databases) -> None:
    dsn, run = await fresh_databases.create(), uuid4().hex[:8]
    token, sync = f"token_{run}", f"sync_{run}"
    roles = [
        ServiceRole(name=token, schemas=("credentials",), password=Secret("one")),
        ServiceRole(name=sync, schemas=("reporting", ROLE), password=Secret("two")),
        ServiceRole(name=ROLE, schemas=(), password=Secret("three")),
    ]
    addresses = await ensure_roles(dsn, roles)
    # The sync service may be the first to start: its views are of use once the other has started too.
    await migrate_both(addresses[token], addresses[sync])
    await install_report_views(addresses[sync])
    await show_to_reports(addresses[token], SHOWN)

    reporter = await asyncpg.connect(addresses[ROLE])
    try:
        for name in READABLE:
            await reporter.fetch(f"SELECT * FROM {name}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reporter.fetch("SELECT * FROM credentials.connections")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reporter.execute("CREATE TEMPORARY TABLE mine ()")
    finally:
        await reporter.close()


async def test_a_service_without_the_right_does_without_views(
    fresh_databases: Databases, capfd: pytest.CaptureFixture[str]
) -> None:
    dsn, name = await fresh_databases.create(), f"sync_{uuid4().hex[:8]}"
    roles = [ServiceRole(name=name, schemas=("reporting",), password=Secret("two"))]
    addresses = await ensure_roles(dsn, roles)

    await install_report_views(addresses[name])

    assert "there are no views to report with" in capfd.readouterr().out
