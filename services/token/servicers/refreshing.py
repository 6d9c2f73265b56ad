"""The messages of RefreshAll."""

from tokhub.token.v1 import token_pb2

from libs.rpc.times import timestamp
from services.token.domain.connection import DUE_WITHIN
from services.token.domain.refresh_runs import Outcome, Scope, Tally, Told
from services.token.servicers.translate import OWNER_KIND_VALUES, PROVIDER_VALUES, PROVIDERS

OUTCOMES = {
    Outcome.REFRESHED: token_pb2.REFRESH_OUTCOME_REFRESHED,
    Outcome.SKIPPED: token_pb2.REFRESH_OUTCOME_SKIPPED,
    Outcome.FAILED: token_pb2.REFRESH_OUTCOME_FAILED,
}


def scope_of(request: token_pb2.RefreshAllRequest) -> Scope:
    """Return the scope of a request."""
    return Scope(
        provider=PROVIDERS.get(request.provider),
        team_id=request.team_id if request.HasField("team_id") else None,
        force=request.force,
        within=request.within.ToTimedelta().total_seconds() if request.HasField("within") else DUE_WITHIN,
    )


def news_message(news: Told | Tally) -> token_pb2.RefreshAllResponse:
    """Return the message of an ended part or of the tally."""
    if isinstance(news, Tally):
        return token_pb2.RefreshAllResponse(
            summary=token_pb2.RefreshSummary(
                total=news.total,
                refreshed=news.refreshed,
                skipped=news.skipped,
                failed=news.failed,
                dry_run=news.rehearsed,
            )
        )
    ended, connection = news.ended, news.connection
    return token_pb2.RefreshAllResponse(
        ended=token_pb2.RefreshedConnection(
            connection_id=str(ended.connection_id),
            number=connection.number,
            provider=PROVIDER_VALUES[connection.provider],
            owner=token_pb2.Owner(kind=OWNER_KIND_VALUES[connection.owner.kind], id=connection.owner.id),
            name=", ".join(shop.name for shop in connection.shops if shop.name) or connection.owner.id,
            shop_numbers=[shop.number for shop in connection.shops if shop.number],
            team_id=connection.team_id,
            outcome=OUTCOMES[ended.outcome],
            reason=ended.reason,
            message=ended.message,
            hours_left=round(ended.seconds_left / 3600, 2),
            access_expire_time=timestamp(ended.access_expires_at),
        )
    )
