"""Records what happens in the very statement that makes it happen: no record, no change."""

from libs.rpc.actor import current_actor
from libs.rpc.request_id import current_request_id

CHANNEL = "connection_events"
INTENT = "REFRESH_INTENT"


def author(replica: str) -> list[str]:
    """Return who does what this task does, as the `by` of a statement: the process, the request, the actor."""
    return [replica, current_request_id(), current_actor()]


def recorded(change: str, *, kind: str, reason: str, by: str, also: str = "SELECT") -> str:
    """Return a statement that changes connections, returns their rows and records each; kind and so on are expressions.

    The change returns id, epoch and generation among others. Everything but an intent is also announced, as a hint:
    an announcement makes commits queue, and nobody acts upon an intent. Another statement may act upon changed too.
    """
    return f"""
        WITH changed AS ({change}), recorded AS (
            INSERT INTO connection_events (connection_id, kind, epoch, generation, reason, replica, request_id, actor)
            SELECT id, {kind}, epoch, generation, {reason}, {authored(by)} FROM changed
            RETURNING kind, connection_id
        ), also AS ({also})
        SELECT changed.*,
            CASE WHEN kind <> '{INTENT}' THEN pg_notify('{CHANNEL}', connection_id::text) END
        FROM changed JOIN recorded ON connection_id = id
    """


def recorded_of_keys(change: str, *, kind: str, key: str, by: str) -> str:
    """Return a statement that changes what concerns keys, returns its rows and records each whose kind is not NULL."""
    return f"""
        WITH changed AS ({change}), recorded AS (
            INSERT INTO connection_events (kind, reason, replica, request_id, actor)
            SELECT {kind}, {key}, {authored(by)} FROM changed WHERE {kind} IS NOT NULL
        )
        SELECT * FROM changed
    """


def authored(by: str) -> str:
    """Return the expressions of who did it."""
    return ", ".join(f"({by}::text[])[{place}]" for place in (1, 2, 3))
