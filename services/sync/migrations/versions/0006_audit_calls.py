"""What people did, call by call: rows that are added and never changed."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table and refuse changes."""
    op.execute("""
        CREATE TABLE reporting.audit_calls (
            id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at         timestamptz NOT NULL DEFAULT clock_timestamp(),
            call       uuid NOT NULL,
            actor      text NOT NULL,
            method     text NOT NULL,
            request    jsonb NOT NULL,
            request_id text NOT NULL,
            outcome    text NOT NULL,
            UNIQUE (call, outcome)
        )
    """)
    op.execute("COMMENT ON COLUMN reporting.audit_calls.call IS 'the same for the beginning of a call and its end'")
    op.execute("""
        CREATE FUNCTION reporting.refuse_change_of_calls() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a row of the audit trail is never changed' USING ERRCODE = 'insufficient_privilege';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON reporting.audit_calls
            FOR EACH STATEMENT EXECUTE FUNCTION reporting.refuse_change_of_calls()
    """)
