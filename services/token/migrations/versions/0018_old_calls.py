"""Recorded calls may go once the chain says where the kept part begins; all others stay as they are."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Let those be deleted that stand before what the newest sealed row keeps."""
    op.execute("CREATE INDEX audit_calls_pruned ON credentials.audit_calls (sequence) WHERE outcome = 'PRUNED'")
    op.execute("DROP TRIGGER never_changed ON credentials.audit_calls")
    op.execute("""
        CREATE TRIGGER never_changed BEFORE UPDATE OR TRUNCATE ON credentials.audit_calls
            FOR EACH STATEMENT EXECUTE FUNCTION credentials.refuse_change_of_calls()
    """)
    op.execute("""
        CREATE FUNCTION credentials.refuse_loss_of_calls() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            kept bigint := (
                SELECT id FROM credentials.audit_calls WHERE sequence = (
                    SELECT (request ->> 'keptFrom')::bigint FROM credentials.audit_calls
                    WHERE outcome = 'PRUNED' ORDER BY sequence DESC LIMIT 1));
        BEGIN
            IF EXISTS (SELECT FROM gone WHERE (id < kept) IS NOT TRUE) THEN
                RAISE EXCEPTION 'a row of the audit trail is never changed' USING ERRCODE = 'insufficient_privilege';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER never_lost AFTER DELETE ON credentials.audit_calls REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION credentials.refuse_loss_of_calls()
    """)
