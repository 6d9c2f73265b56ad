-- Adds those three files to tokhub's snapshots and log; days that tokhub has read itself stay as they are.
-- psql "$(cat .tokhub/live/secrets/DATABASE_URL)" -f docs/migration/write_history.sql
\set ON_ERROR_STOP on
SET TimeZone = 'UTC';
SET client_min_messages = warning;

CREATE TEMPORARY TABLE old_user_daily (
    store_code text, snapshot_date date, follower_count bigint, following_count bigint, likes_count bigint,
    video_count bigint, display_name text, avatar_url text, created_at timestamptz);
CREATE TEMPORARY TABLE old_video_daily (
    store_code text, snapshot_date date, video_id text, view_count bigint, like_count bigint, comment_count bigint,
    share_count bigint, description text, created_at timestamptz);
CREATE TEMPORARY TABLE old_sync_logs (
    store_code text, job_name text, status text, message text, raw_error text, duration_ms bigint,
    run_time timestamptz);
\copy old_user_daily FROM 'old_user_daily.csv' WITH (FORMAT csv)
\copy old_video_daily FROM 'old_video_daily.csv' WITH (FORMAT csv)
\copy old_sync_logs FROM 'old_sync_logs.csv' WITH (FORMAT csv)

-- A partition for each month that has none.
SELECT format('CREATE TABLE IF NOT EXISTS reporting.%I PARTITION OF reporting.%I FOR VALUES FROM (%L) TO (%L)',
    name || to_char(month, '_YYYY_MM'), name, month::date, (month + interval '1 month')::date)
FROM (SELECT 'tiktok_user_daily' AS name, date_trunc('month', snapshot_date) AS month FROM old_user_daily
      UNION SELECT 'tiktok_video_daily', date_trunc('month', snapshot_date) FROM old_video_daily) AS months
ORDER BY name, month
\gexec

BEGIN;
INSERT INTO reporting.tiktok_user_daily (subject_kind, subject_id, snapshot_date, follower_count, following_count,
    likes_count, video_count, display_name, avatar_url, fetched_at, created_at)
SELECT 'store', store_code, snapshot_date, follower_count, following_count, likes_count, video_count, display_name,
    avatar_url, old.created_at, old.created_at
FROM old_user_daily AS old JOIN reporting.stores USING (store_code)
ON CONFLICT DO NOTHING;

INSERT INTO reporting.tiktok_video_daily (subject_kind, subject_id, snapshot_date, video_id, view_count, like_count,
    comment_count, share_count, description, fetched_at, created_at)
SELECT 'store', store_code, snapshot_date, video_id, view_count, like_count, comment_count, share_count, description,
    old.created_at, old.created_at
FROM old_video_daily AS old JOIN reporting.stores USING (store_code)
ON CONFLICT DO NOTHING;

-- Rows of whole runs have no store.
INSERT INTO reporting.sync_logs (subject_kind, subject_id, job_name, status, message, raw_error, duration_ms, run_time)
SELECT CASE WHEN store_code IS NOT NULL THEN 'store' END, store_code, job_name, status, message, raw_error,
    duration_ms, run_time
FROM old_sync_logs AS old
WHERE NOT EXISTS (SELECT FROM reporting.sync_logs AS here
    WHERE here.run_time = old.run_time AND here.job_name = old.job_name
      AND here.store_code IS NOT DISTINCT FROM old.store_code)
ORDER BY run_time;
COMMIT;
