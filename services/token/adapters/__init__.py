"""The ports over PostgreSQL and TikTok."""
