"""What reports need: whose snapshot it is, when a video was posted, and ways to the rows of a few days."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    # A store may be connected to another account later: figures of two accounts are never set off against each other.
    "ALTER TABLE tiktok_user_daily ADD COLUMN account_id text",
    "ALTER TABLE tiktok_video_daily ADD COLUMN posted_at timestamptz",
    # Rows are written day after day: block ranges find a day's rows in a month, at next to no cost for the writer.
    "CREATE INDEX tiktok_user_daily_day ON tiktok_user_daily USING brin (snapshot_date) WITH (pages_per_range = 32)",
    "CREATE INDEX tiktok_video_daily_day ON tiktok_video_daily USING brin (snapshot_date) WITH (pages_per_range = 32)",
    "CREATE INDEX sync_runs_day ON sync_runs (snapshot_date)",
)


def upgrade() -> None:
    """Add columns, empty for what was written before, and indexes."""
    for statement in STATEMENTS:
        op.execute(statement)
