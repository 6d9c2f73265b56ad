"""The messages of ExplainConnection and GetRefreshForecast."""

from tokhub.token.v1 import token_pb2

from libs.rpc.times import timestamp
from services.token.core.explain import Decision, Explanation, NextAction
from services.token.core.forecast import Forecast, Span
from services.token.domain.timeline import Event, Kind
from services.token.servicers.translate import connection_message

DECISIONS = {
    Decision.HEALTHY: token_pb2.CONNECTION_DECISION_HEALTHY,
    Decision.REFRESH_DUE: token_pb2.CONNECTION_DECISION_REFRESH_DUE,
    Decision.WAITING: token_pb2.CONNECTION_DECISION_WAITING,
    Decision.NEEDS_CONSENT: token_pb2.CONNECTION_DECISION_NEEDS_CONSENT,
    Decision.DISCONNECTED: token_pb2.CONNECTION_DECISION_DISCONNECTED,
}
ACTIONS = {
    NextAction.REFRESH: token_pb2.NEXT_ACTION_REFRESH,
    NextAction.CONNECT_AGAIN: token_pb2.NEXT_ACTION_CONNECT_AGAIN,
}
KINDS = {
    Kind.IMPORTED: token_pb2.CONNECTION_EVENT_KIND_IMPORTED,
    Kind.SHOPS_LEARNT: token_pb2.CONNECTION_EVENT_KIND_SHOPS_LEARNT,
    Kind.CONNECTED: token_pb2.CONNECTION_EVENT_KIND_CONNECTED,
    Kind.REFRESH_INTENT: token_pb2.CONNECTION_EVENT_KIND_REFRESH_INTENT,
    Kind.REFRESHED: token_pb2.CONNECTION_EVENT_KIND_REFRESHED,
    Kind.REFRESH_FAILED: token_pb2.CONNECTION_EVENT_KIND_REFRESH_FAILED,
    Kind.SUSPECT: token_pb2.CONNECTION_EVENT_KIND_SUSPECT,
    Kind.REAUTH_REQUIRED: token_pb2.CONNECTION_EVENT_KIND_REAUTH_REQUIRED,
    Kind.DISCONNECTED: token_pb2.CONNECTION_EVENT_KIND_DISCONNECTED,
    Kind.SHOP_REMOVED: token_pb2.CONNECTION_EVENT_KIND_SHOP_REMOVED,
    Kind.EXPIRY_ANNOUNCED: token_pb2.CONNECTION_EVENT_KIND_EXPIRY_ANNOUNCED,
    Kind.DOUBLE_SPEND: token_pb2.CONNECTION_EVENT_KIND_DOUBLE_SPEND,
}


def explanation_message(explanation: Explanation) -> token_pb2.ExplainConnectionResponse:
    """Return an explanation's message."""
    verdict = explanation.verdict
    return token_pb2.ExplainConnectionResponse(
        connection=connection_message(explanation.connection),
        decision=DECISIONS[verdict.decision],
        next_action=ACTIONS[verdict.action],
        next_action_time=timestamp(verdict.at),
        explanation=verdict.words,
        timeline=[event_message(event) for event in explanation.events],
        next_page_token="" if explanation.following is None else str(explanation.following),
    )


def event_message(event: Event) -> token_pb2.ConnectionEvent:
    """Return an event's message."""
    return token_pb2.ConnectionEvent(
        id=event.id,
        time=timestamp(event.at),
        kind=KINDS[event.kind],
        epoch=event.epoch,
        generation=event.generation,
        reason=event.reason,
        replica=event.replica,
        request_id=event.request_id,
        message=event.told(),
        actor=event.actor,
    )


def forecast_message(forecast: Forecast) -> token_pb2.GetRefreshForecastResponse:
    """Return a forecast's message."""
    return token_pb2.GetRefreshForecastResponse(
        time=timestamp(forecast.at),
        live=forecast.live,
        access_overdue=forecast.access_overdue,
        access_ends=[span_message(span) for span in forecast.access_ends],
        refreshes_needed_per_second=forecast.needed,
        refreshes_measured_per_second=forecast.measured,
        consent_overdue=forecast.consent_overdue,
        consent_endless=forecast.consent_endless,
        consent_ends=[span_message(span) for span in forecast.consent_ends],
        access_later=forecast.access_later,
        consent_later=forecast.consent_later,
    )


def span_message(span: Span) -> token_pb2.ForecastSpan:
    """Return a span's message."""
    return token_pb2.ForecastSpan(start_time=timestamp(span.start), count=span.count)
