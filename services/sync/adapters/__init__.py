"""PostgreSQL, PgQueuer and the token service, behind the core's ports."""
