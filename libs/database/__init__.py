"""PostgreSQL for every service: an embedded server, connections, migrations, roles and notifications."""
