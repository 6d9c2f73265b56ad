"""Records what happens to a connection in the very statement that makes it happen: no record, no change."""

CHANNEL = "connection_events"
INTENT = "REFRESH_INTENT"


def recorded(change: str, *, kind: str, reason: str, replica: str, request_id: str, also: str = "SELECT") -> str:
    """Return a statement that makes a change, returns its rows and records each one; kind and so on are expressions.

    The change returns id, epoch and generation among others. Everything but an intent is also announced, as a hint:
    an announcement makes commits queue, and nobody acts upon an intent. Another statement may act upon changed too.
    """
    return f"""
        WITH changed AS ({change}), recorded AS (
            INSERT INTO connection_events (connection_id, kind, epoch, generation, reason, replica, request_id)
            SELECT id, {kind}, epoch, generation, {reason}, {replica}::text, {request_id}::text FROM changed
            RETURNING kind, connection_id
        ), also AS ({also})
        SELECT changed.*,
            CASE WHEN kind <> '{INTENT}' THEN pg_notify('{CHANNEL}', connection_id::text) END
        FROM changed JOIN recorded ON connection_id = id
    """
