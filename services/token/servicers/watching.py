"""The messages of WatchTokens."""

from tokhub.token.v1 import token_pb2

from libs.rpc.times import timestamp
from services.token.core.watch_tokens import TOLD, Chosen, Happening, Position
from services.token.domain.timeline import Kind
from services.token.servicers.translate import OWNER_KIND_VALUES, PROVIDER_VALUES, PROVIDERS

KINDS = {
    token_pb2.TOKEN_EVENT_KIND_CONNECTED: Kind.CONNECTED,
    token_pb2.TOKEN_EVENT_KIND_ROTATED: Kind.REFRESHED,
    token_pb2.TOKEN_EVENT_KIND_NEEDS_RECONNECT: Kind.REAUTH_REQUIRED,
    token_pb2.TOKEN_EVENT_KIND_DISCONNECTED: Kind.DISCONNECTED,
}
KIND_VALUES = {kind: value for value, kind in KINDS.items()}


def chosen_of(message: token_pb2.TokenFilter) -> Chosen:
    """Return what a watcher wants to hear of."""
    return Chosen(
        provider=PROVIDERS.get(message.provider),
        team_id=message.team_id if message.HasField("team_id") else None,
        connection_ids=frozenset(one.lower() for one in message.connection_ids),
        kinds=frozenset(KINDS[kind] for kind in message.kinds) or TOLD,
    )


def watch_message(news: Position | Happening) -> token_pb2.WatchTokensResponse:
    """Return the message of a stream's beginning or of an event."""
    if isinstance(news, Position):
        return token_pb2.WatchTokensResponse(begin=token_pb2.WatchBegin(event_id=news.id))
    event, connection = news.event, news.connection
    return token_pb2.WatchTokensResponse(
        event=token_pb2.TokenEvent(
            event_id=event.id,
            time=timestamp(event.at),
            kind=KIND_VALUES[event.kind],
            connection_id=str(connection.id),
            number=connection.number,
            provider=PROVIDER_VALUES[connection.provider],
            owner=token_pb2.Owner(kind=OWNER_KIND_VALUES[connection.owner.kind], id=connection.owner.id),
            team_id=connection.team_id,
            epoch=event.epoch,
            generation=event.generation,
            reason=event.reason,
        )
    )
