"""The environment Alembic loads for every service's migrations."""
