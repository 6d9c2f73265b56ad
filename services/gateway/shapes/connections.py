"""Connections, how they stand and what is to come, as JSON; the names of fields are those of their messages."""

from typing import Any

from tokhub.token.v1 import token_pb2

from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.times import stamp_text, time_or_none


def connection(one: token_pb2.Connection) -> dict[str, Any]:
    """Return a connection, which has no secrets."""
    return {
        "id": one.id,
        "number": one.number,
        "provider": provider_word(one.provider),
        "owner": {"kind": token_pb2.OwnerKind.Name(one.owner.kind).removeprefix("OWNER_KIND_"), "id": one.owner.id},
        "teamId": one.team_id,
        "accountId": one.account_id,
        "status": token_pb2.ConnectionStatus.Name(one.status).removeprefix("CONNECTION_STATUS_"),
        "reason": one.reason,
        "scopes": list(one.scopes),
        "epoch": one.epoch,
        "generation": one.generation,
        "accessExpireTime": time_or_none(one, "access_expire_time"),
        "refreshExpireTime": time_or_none(one, "refresh_expire_time"),
        "connectTime": time_or_none(one, "connect_time"),
        "updateTime": time_or_none(one, "update_time"),
        "hoursLeft": value_or_none(one, "hours_left"),
        "needsRefresh": one.needs_refresh,
        "shops": [shop(each) for each in one.shops],
    }


def provider_word(provider: token_pb2.Provider.ValueType) -> str:
    """Return a provider without its prefix."""
    return token_pb2.Provider.Name(provider).removeprefix("PROVIDER_")


def shop(one: token_pb2.Shop) -> dict[str, Any]:
    """Return a shop of a connection."""
    return {"id": one.id, "number": one.number, "name": one.name, "region": one.region, "sellerType": one.seller_type}


def explanation(told: token_pb2.ExplainConnectionResponse) -> dict[str, Any]:
    """Return how a connection stands and why, its timeline newest first."""
    action = token_pb2.NextAction.Name(told.next_action).removeprefix("NEXT_ACTION_")
    return {
        "connection": connection(told.connection),
        "decision": token_pb2.ConnectionDecision.Name(told.decision).removeprefix("CONNECTION_DECISION_"),
        "nextAction": None if told.next_action == token_pb2.NEXT_ACTION_UNSPECIFIED else action,
        "nextActionTime": time_or_none(told, "next_action_time"),
        "explanation": told.explanation,
        "timeline": [event(each) for each in told.timeline],
    }


def event(one: token_pb2.ConnectionEvent) -> dict[str, Any]:
    """Return one thing that happened to a connection."""
    return {
        "id": one.id,
        "time": stamp_text(one.time),
        "kind": token_pb2.ConnectionEventKind.Name(one.kind).removeprefix("CONNECTION_EVENT_KIND_"),
        "epoch": one.epoch,
        "generation": one.generation,
        "reason": one.reason,
        "message": one.message,
        "replica": one.replica,
        "requestId": one.request_id,
        "actor": one.actor,
    }


def forecast(told: token_pb2.GetRefreshForecastResponse) -> dict[str, Any]:
    """Return what is to be expected of the connections that can be refreshed."""
    return {
        "time": stamp_text(told.time),
        "live": told.live,
        "accessOverdue": told.access_overdue,
        "accessEnds": [span(each) for each in told.access_ends],
        "accessLater": told.access_later,
        "refreshesNeededPerSecond": told.refreshes_needed_per_second,
        "refreshesMeasuredPerSecond": told.refreshes_measured_per_second,
        "consentOverdue": told.consent_overdue,
        "consentEnds": [span(each) for each in told.consent_ends],
        "consentLater": told.consent_later,
        "consentEndless": told.consent_endless,
    }


def span(one: token_pb2.ForecastSpan) -> dict[str, Any]:
    """Return how many connections something happens to in a span of time."""
    return {"startTime": stamp_text(one.start_time), "count": one.count}
