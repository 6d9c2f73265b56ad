"""What each route answers, and the reasons it has of its own; what its gate and its services refuse comes on top."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from libs.errors import Reason
from services.gateway.openapi import shapes
from services.gateway.openapi.examples import Json, Maybe, Perhaps
from services.gateway.openapi.shapes import many, one

JSON = "application/json"
HTML = "text/html"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
EVENTS = "text/event-stream"
SCRIPT = "text/javascript"

OAUTH = (
    Reason.SCOPE_MISSING,
    Reason.ACCOUNT_ALREADY_CONNECTED,
    Reason.UPSTREAM_RATE_LIMITED,
    Reason.UPSTREAM_BAD_RESPONSE,
    Reason.SERVER_MISCONFIG,
)
STATES = (Reason.STATE_INVALID, Reason.STATE_EXPIRED, Reason.STATE_REUSED)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A route's answers: an example, None for a body without schema, by status and media type; and reasons."""

    said: Mapping[int, Mapping[str, Json | str | None]]
    reasons: tuple[Reason, ...] = ()
    # Reasons that this route answers with another status than the rest.
    moved: Mapping[Reason, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    errors: str = JSON


def ok(example: Json, *reasons: Reason, status: int = 200) -> Answer:
    """Return the answer of a route that says one kind of thing."""
    return Answer(said={status: {JSON: example}}, reasons=reasons)


def table(example: Json) -> Answer:
    """Return the answer of a report."""
    return Answer(said={200: {JSON: many(example), CSV: ",".join(example)}})


def page(status: int, *reasons: Reason) -> Answer:
    """Return the answer of a route that a person looks at."""
    return Answer(said={status: {HTML: None} if status == PAGE else {}}, reasons=reasons, errors=HTML)


PAGE, REDIRECT = 200, 302
STORE = "/admin/stores/{store_code}"
RUN = "/admin/sync/runs/{run_id}"
CREATORS = "/api/v1/integrations/tiktok"
SHOPS = "/api/v1/tiktok"
NO_STORE = Reason.STORE_NOT_FOUND
NO_CONNECTION = Reason.CONNECTION_NOT_FOUND
CALLBACK = page(PAGE, *STATES, Reason.AUTHORIZATION_DENIED, Reason.SHOP_CHOICE_REQUIRED, *OAUTH)
EVENT = Answer(said={200: {}}, reasons=(Reason.INVALID_FIELD, Reason.UNAUTHENTICATED))

ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "GET /": ok(shapes.INDEX),
        "GET /health": Answer(said={200: {JSON: shapes.HEALTH}, 503: {JSON: {**shapes.HEALTH, "status": "unhealthy"}}}),
        "GET /integrations/tiktok.js": Answer(said={200: {SCRIPT: None}}),
        "POST /webhooks/tiktok": EVENT,
        "POST /webhooks/tiktok-shop": EVENT,
        "GET /connect/tiktok": page(REDIRECT, NO_STORE, Reason.SERVER_MISCONFIG),
        "GET /auth/url": ok(one({"authUrl": shapes.CONSENT["authUrl"]}), NO_STORE, Reason.SERVER_MISCONFIG),
        "GET /auth/tiktok/callback": CALLBACK,
        "GET /admin/stores": ok({**many(shapes.STORE), "nextPageToken": Perhaps(Maybe("store_jakarta_01"))}),
        "POST /admin/stores": ok(shapes.CREATED_STORE, Reason.STORE_EXISTS, status=201),
        f"GET {STORE}": ok(one(shapes.STORE), NO_STORE),
        f"PATCH {STORE}": ok(one(shapes.STORE), NO_STORE),
        f"DELETE {STORE}": Answer(said={204: {}}, reasons=(NO_STORE,)),
        f"GET {STORE}/accounts": ok(many(shapes.ACCOUNT), NO_STORE),
        f"POST {STORE}/connect-link": ok(
            one({"url": shapes.CONSENT["authUrl"], "expiresAt": shapes.NIGHT}), NO_STORE, Reason.SERVER_MISCONFIG
        ),
        f"GET {STORE}/user-stats": ok(many(shapes.USER_STATS), NO_STORE),
        f"GET {STORE}/video-stats": ok(many(shapes.VIDEO_STATS), NO_STORE),
        f"GET {STORE}/sync-logs": ok(many(shapes.SYNC_LOG), NO_STORE),
        "GET /admin/sync/logs": ok(many(shapes.SYNC_LOG), NO_STORE),
        "GET /admin/sync/status": ok(one(shapes.SCHEDULE)),
        "POST /admin/sync/run": Answer(
            said={
                200: {
                    JSON: {**one({**shapes.ONE_RESULT, **shapes.ALL_RESULT}), "message": Perhaps(shapes.CUT_SHORT)},
                    EVENTS: None,
                },
                202: {JSON: one(shapes.RUN)},
            },
            reasons=(NO_STORE, NO_CONNECTION, Reason.REAUTH_REQUIRED, Reason.RUN_ALREADY_ACTIVE),
            words=("SYNC_FAILED",),
        ),
        "GET /admin/sync/runs": ok({**many(shapes.RUN), "nextPageToken": Maybe("MjAyNi0wMS0yNA")}),
        f"GET {RUN}": ok(one(shapes.RUN), Reason.RUN_NOT_FOUND),
        f"GET {RUN}/events": Answer(said={200: {EVENTS: None}, 204: {}}, reasons=(Reason.RUN_NOT_FOUND,)),
        f"POST {RUN}/cancel": ok(one(shapes.RUN), Reason.RUN_NOT_FOUND),
        "POST /api/tiktok/refresh-all-tokens": Answer(said={200: {JSON: shapes.REFRESHES, EVENTS: None}}),
        "GET /admin/vault": ok(one(shapes.KEY_RING)),
        "POST /admin/vault/rotate": Answer(
            said={200: {JSON: one(shapes.ROTATION), EVENTS: None}},
            reasons=(Reason.KEY_NOT_READY, Reason.SERVER_MISCONFIG),
        ),
        "GET /admin/connections": ok({**many(shapes.CONNECTION), "nextPageToken": Maybe("123")}),
        "GET /admin/connections/{connection_id}": ok(one(shapes.EXPLANATION), NO_CONNECTION),
        "GET /admin/forecast": ok(one(shapes.FORECAST)),
        "GET /admin/audit": ok({**many(shapes.AUDIT_RECORD), "nextPageToken": Maybe("MTIz")}),
        "GET /admin/audit/verify": ok(one(shapes.AUDIT_VERIFICATION)),
        "GET /admin/reports/growth": table(shapes.GROWTH),
        "GET /admin/reports/top-videos": table(shapes.TOP_VIDEO),
        "GET /admin/reports/daily-totals": table(shapes.DAILY_TOTALS),
        "GET /admin/reports/completeness": table(shapes.COMPLETENESS),
        "GET /admin/export": Answer(said={200: {CSV: None, NDJSON: None, PARQUET: None}}),
        f"GET {CREATORS}/status/{{user_id}}": ok(shapes.CREATOR),
        f"POST {CREATORS}/auth/init": ok(shapes.CONSENT, Reason.SERVER_MISCONFIG),
        f"POST {CREATORS}/auth/callback": ok(shapes.CREATOR, *STATES, *OAUTH),
        f"DELETE {CREATORS}/disconnect/{{user_id}}": ok(
            {"message": "TikTok account disconnected successfully", "statusCode": 200}, NO_CONNECTION
        ),
        f"POST {CREATORS}/sync/{{user_id}}": Answer(
            said={200: {JSON: one(shapes.CREATOR_RESULT), EVENTS: None}},
            reasons=(NO_CONNECTION, Reason.REAUTH_REQUIRED, Reason.RUN_ALREADY_ACTIVE),
            words=("SYNC_FAILED",),
        ),
        f"GET {CREATORS}/metrics/{{user_id}}": ok(shapes.METRICS, NO_CONNECTION),
        f"POST {SHOPS}/auth/initiate": ok(shapes.CONSENT, Reason.SERVER_MISCONFIG),
        f"POST {SHOPS}/auth/callback": Answer(
            said={200: {JSON: shapes.SHOP}},
            reasons=(*STATES, Reason.SHOP_CHOICE_REQUIRED, *OAUTH),
            moved=dict.fromkeys(STATES, 401),
        ),
        f"GET {SHOPS}/auth/callback": CALLBACK,
        f"POST {SHOPS}/auth/refresh": ok(
            {"success": True, "message": "Token refreshed successfully"},
            NO_CONNECTION,
            Reason.REAUTH_REQUIRED,
            Reason.LOST_RESPONSE,
            Reason.REFRESH_IN_PROGRESS,
            Reason.UPSTREAM_RATE_LIMITED,
            Reason.UPSTREAM_BAD_RESPONSE,
        ),
        f"GET {SHOPS}/auth/status": ok(shapes.SHOP_STATUS),
        f"GET {SHOPS}/shop/info": ok(shapes.SHOP, NO_CONNECTION),
        f"DELETE {SHOPS}/shop/disconnect": ok(
            {"message": "TikTok Shop disconnected successfully", "statusCode": 200}, NO_CONNECTION
        ),
    }
)

# Of a route that nobody has described yet: it is listed with what its gate and its services refuse.
UNDESCRIBED = Answer(said={})

# The members that an error may have beside its code and message.
ERROR = {
    "success": False,
    "error": {
        "code": "STORE_NOT_FOUND",
        "message": "Store not found",
        "runId": Perhaps(shapes.RUN_ID),
        "shops": Perhaps([{"id": "7494000000000000001", "name": "My TikTok Shop", "region": "GB"}]),
    },
    "requestId": "5f1c2a9be0a94f0b8d0c5b1f2d3e4a5b",
}
