"""What holds for every test: a clean environment, and the fixtures of the real PostgreSQL and the sandbox."""

import os

pytest_plugins = ["tests.fixtures_postgres", "tests.fixtures_sandbox"]

# The settings of tokhub and of PostgreSQL's clients; a developer's own must not decide how a test ends.
_SETTINGS = (
    "ADMIN_API_KEY",
    "AUDIT_",
    "AUTH_",
    "CONNECT_LINKS",
    "CONSOLE_",
    "CORS_ORIGIN",
    "CRON_",
    "DATABASE_URL",
    "DB_",
    "GATEWAY_",
    "HOST",
    "HP_marketplace_db_ddl",
    "JOURNAL_",
    "LOG_LEVEL",
    "OAUTH_",
    "OTEL_",
    "PG",
    "PORT",
    "RATE_LIMIT_",
    "REDIS_URL",
    "REFRESH_CONCURRENCY",
    "RETENTION_DAYS",
    "SANDBOX_",
    "STATE_SECRET",
    "SYNC_",
    "TIKTOK_",
    "TLS_",
    "TOKEN_",
    "TOKHUB_",
    "TRUSTED_PROXIES",
    "TZ",
    "USER_J",
    "VIDEO_SYNC_CONCURRENCY",
)

for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
    del os.environ[name]
