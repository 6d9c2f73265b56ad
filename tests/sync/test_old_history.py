"""The statistics of another system come over by the two files of SQL that the guide names."""

import subprocess
from pathlib import Path

import asyncpg

from libs.database.postgres.binaries import installed_binaries
from tests.fixtures_postgres import TemplateDatabase
from tests.sync.living_suite import migrate_both

GUIDE = Path(__file__).parents[2] / "docs" / "migration"

OLD = """
    CREATE TABLE stores (
        store_code varchar(50) PRIMARY KEY, store_name varchar(255) NOT NULL, pic_name varchar(255) NOT NULL,
        pic_contact varchar(255), created_at timestamp DEFAULT now());
    CREATE TABLE tiktok_user_daily (
        id serial PRIMARY KEY, store_code varchar(50) REFERENCES stores (store_code), snapshot_date date NOT NULL,
        follower_count integer, following_count integer, likes_count bigint, video_count integer,
        display_name varchar(255), avatar_url text, created_at timestamp DEFAULT now(),
        UNIQUE (store_code, snapshot_date));
    CREATE TABLE tiktok_video_daily (
        id serial PRIMARY KEY, store_code varchar(50) REFERENCES stores (store_code), snapshot_date date NOT NULL,
        video_id varchar(255) NOT NULL, view_count bigint, like_count integer, comment_count integer,
        share_count integer, description text, created_at timestamp DEFAULT now(),
        UNIQUE (store_code, snapshot_date, video_id));
    CREATE TABLE sync_logs (
        id serial PRIMARY KEY, store_code varchar(50), job_name varchar(100), status varchar(50), message text,
        raw_error text, duration_ms integer, run_time timestamp DEFAULT now());

    INSERT INTO stores SELECT 'toko_' || n, 'Toko', 'Budi' FROM generate_series(1, 3) AS n;
    INSERT INTO tiktok_user_daily (store_code, snapshot_date, follower_count, display_name)
        SELECT store_code, day, 5, E'Kedai, \\n "teh"'
        FROM stores, generate_series(date '2025-12-30', '2026-01-08', '1 day') AS day;
    INSERT INTO tiktok_video_daily (store_code, snapshot_date, video_id, view_count)
        SELECT store_code, snapshot_date, 'video_' || n, n FROM tiktok_user_daily, generate_series(1, 4) AS n;
    INSERT INTO sync_logs (store_code, job_name, status, message, duration_ms, run_time)
        SELECT store_code, 'sync_user_daily', 'SUCCESS', 'ok', 7, snapshot_date FROM tiktok_user_daily
        UNION ALL SELECT NULL, 'sync_user_daily', 'SUCCESS', 'Synced 3/3 stores', 9, date '2026-01-01';
"""
# Of the third store nothing is known here; of the first a day has been read here.
NEW = """
    INSERT INTO reporting.stores (store_code, store_name, pic_name) VALUES ('toko_1', 'T', 'B'), ('toko_2', 'T', 'B');
    CREATE TABLE reporting.tiktok_user_daily_2026_01 PARTITION OF reporting.tiktok_user_daily
        FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    INSERT INTO reporting.tiktok_user_daily (subject_kind, subject_id, snapshot_date, follower_count, fetched_at)
        VALUES ('store', 'toko_1', '2026-01-08', 99, now());
"""
COUNTS = """
    SELECT (SELECT count(*) FROM reporting.tiktok_user_daily), (SELECT count(*) FROM reporting.tiktok_video_daily),
        (SELECT count(*) FROM reporting.sync_logs)
"""


def psql(dsn: str, script: str, place: Path) -> None:
    """Run a script as the guide says, in a directory of its own."""
    command = (installed_binaries() / "bin" / "psql", dsn, "-X", "-q", "-f", GUIDE / script)
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_the_history_of_stores_comes_over_once(
    database_dsn: str, template_database: TemplateDatabase, tmp_path: Path
) -> None:
    dsn = await template_database("token and sync", migrate_both)
    old, new = await asyncpg.connect(database_dsn), await asyncpg.connect(dsn)
    try:
        await old.execute(OLD)
        await new.execute(NEW)
        psql(database_dsn, "read_history.sql", tmp_path)
        for _ in range(2):
            psql(dsn, "write_history.sql", tmp_path)
            assert [tuple(row) for row in await new.fetch(COUNTS)] == [(20, 80, 31)]
        rows = await new.fetch("SELECT * FROM reporting.tiktok_user_daily WHERE snapshot_date = '2026-01-02'")
        assert {(row["follower_count"], row["display_name"]) for row in rows} == {(5, 'Kedai, \n "teh"')}
        assert await new.fetchval("SELECT max(follower_count) FROM reporting.tiktok_user_daily") == 99
        assert await new.fetchval("SELECT count(*) FROM reporting.tiktok_video_daily_default") == 0
    finally:
        await old.close()
        await new.close()
