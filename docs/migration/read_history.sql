-- Writes the statistics and the log of a system with `store_accounts` into three files of this directory.
-- psql "$(cat old-database)" -f docs/migration/read_history.sql
\set ON_ERROR_STOP on
\copy (SELECT store_code, snapshot_date, follower_count, following_count, likes_count, video_count, display_name, avatar_url, coalesce(created_at, snapshot_date) FROM tiktok_user_daily) TO 'old_user_daily.csv' WITH (FORMAT csv)
\copy (SELECT store_code, snapshot_date, video_id, view_count, like_count, comment_count, share_count, description, coalesce(created_at, snapshot_date) FROM tiktok_video_daily) TO 'old_video_daily.csv' WITH (FORMAT csv)
\copy (SELECT store_code, job_name, status, coalesce(message, ''), raw_error, coalesce(duration_ms, 0), run_time FROM sync_logs WHERE status IN ('SUCCESS', 'FAILED', 'SKIPPED') AND run_time IS NOT NULL) TO 'old_sync_logs.csv' WITH (FORMAT csv)
