"""What a run has to do for each of its subjects; where nothing is to be done, the item has its ending at once."""

from services.sync.domain import wording
from services.sync.domain.connections import Connection, Standing
from services.sync.domain.items import Ending
from services.sync.domain.jobs import Job, parts_of
from services.sync.domain.links import ConnectLinks
from services.sync.domain.outcomes import Outcome
from services.sync.domain.runs import PlannedItem, Scope


def plan_items(scope: Scope, connections: tuple[Connection, ...], links: ConnectLinks) -> tuple[PlannedItem, ...]:
    """Return the items of a run.

    A run over everything leaves disconnected subjects out; who lists one is told about it.
    """
    return tuple(
        PlannedItem(job=part, subject=connection.subject, ending=ending_without_work(part, connection, links))
        for connection in connections
        if scope.listed or connection.standing is not Standing.DISCONNECTED
        for part in parts_of(scope.job)
    )


def ending_without_work(job: Job, connection: Connection, links: ConnectLinks) -> Ending | None:
    """Return how an item ends whose connection is unusable or its token not due; None when there is work to do."""
    if connection.standing is Standing.USABLE:
        is_left_alone = job is Job.REFRESH_TOKENS and not connection.refresh_is_due
        return Ending(outcome=Outcome.SUCCESS, message=wording.token_not_due()) if is_left_alone else None
    never = connection.standing is Standing.NEVER_CONNECTED
    return Ending(
        outcome=Outcome.SKIPPED,
        message=links.not_connected(connection.subject) if never else links.needs_reconnect(connection.subject),
        reason="CONNECTION_NOT_FOUND" if never else "REAUTH_REQUIRED",
    )
