"""The gateway as an application: layers, gates, routes and the one error handler."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Match

from libs.errors import TokhubError
from libs.runs.following import Follower
from libs.tracing import is_tracing
from services.gateway.access import NO_HEAD, AccessLog, HttpMetrics
from services.gateway.backends import Backends
from services.gateway.bodies import BodyLimit
from services.gateway.console.audit import AuditPage
from services.gateway.console.creators import CreatorPage
from services.gateway.console.gate import ConsoleGate
from services.gateway.console.overview import OverviewPage
from services.gateway.console.pages import ConsolePages, for_people
from services.gateway.console.refresh import RefreshPage
from services.gateway.console.routes import ConsoleRoutes
from services.gateway.console.schedule import SchedulePage
from services.gateway.console.store import StorePages
from services.gateway.console.stores import StoreListPages
from services.gateway.console.sync import SyncPages
from services.gateway.console.vault import VaultPage
from services.gateway.cors import Cors
from services.gateway.creator_accounts import CreatorAccounts
from services.gateway.denials import DenialReports
from services.gateway.errors import KeyMayOnlyRead, error_response, refusal_response, typed
from services.gateway.gates import AdminGate, CreatorGate, OAuthGate, UserGate
from services.gateway.openapi.document import complete
from services.gateway.pages.render import Pages
from services.gateway.parameters import known_only, once_each
from services.gateway.refreshing import Refreshing
from services.gateway.results import Results
from services.gateway.routes.audit import AuditRoutes
from services.gateway.routes.connect import PAGE_PATHS, ConnectRoutes, counted_once
from services.gateway.routes.connections import ConnectionRoutes
from services.gateway.routes.creators import CreatorRoutes
from services.gateway.routes.docs import DocsRoutes
from services.gateway.routes.export import ExportRoutes
from services.gateway.routes.info import NAME, OPENAPI_PATH, InfoRoutes, Life
from services.gateway.routes.integrations import IntegrationRoutes
from services.gateway.routes.refreshes import RefreshRoutes
from services.gateway.routes.reports import ReportRoutes
from services.gateway.routes.shops import ShopRoutes
from services.gateway.routes.stats import StatsRoutes
from services.gateway.routes.stores import StoreRoutes
from services.gateway.routes.sync import SyncRoutes
from services.gateway.routes.vault import VaultRoutes
from services.gateway.routes.webhooks import WebhookRoutes
from services.gateway.sessions import Sessions
from services.gateway.traced import RequestSpans

# The framework's own traces would hold queries, and those hold codes and states.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
FOLLOWED = 30.0  # seconds that a run is followed while the sync service is away
CORS_REQUEST_HEADERS = ["X-API-KEY", "Authorization", "Content-Type", "Prefer", "Last-Event-ID", "X-Request-Id"]
CORS_ANSWER_HEADERS = [
    "X-Request-Id",
    "Location",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Who may pass to which routes."""

    admin: AdminGate
    users: UserGate
    creators: CreatorGate
    oauth: OAuthGate
    sessions: Sessions


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the application is made of."""

    backends: Backends
    gates: Gates
    life: Life
    registry: CollectorRegistry
    redirect_uri: str = ""
    cors_origins: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Faces:
    """What people see instead of JSON: the console, and the pages after TikTok's."""

    pages: Pages
    console: ConsolePages


class Api(FastAPI):
    """FastAPI, documented as the gateway answers."""

    def openapi(self) -> dict[str, Any]:
        """Return the document of the routes."""
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema


def create_app(parts: Parts) -> FastAPI:
    """Return the gateway's application."""
    app = Api(
        title=NAME,
        version=parts.life.version,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
        middleware=layers(parts),
    )
    faces = Faces(pages=Pages(), console=ConsolePages())
    routes = add_routes(app, parts, faces)
    denials = DenialReports(audit=parts.backends.token_audit, clock=parts.life.clock)
    add_error_handlers(app, faces, routes, denials)
    return app


def layers(parts: Parts) -> list[Middleware]:
    """Return what every request passes through, outermost first."""
    cors = Middleware(
        Cors,
        allow_origins=list(parts.cors_origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=CORS_REQUEST_HEADERS,
        expose_headers=CORS_ANSWER_HEADERS,
    )
    access = Middleware(AccessLog, metrics=HttpMetrics(parts.registry))
    spans = [Middleware(RequestSpans)] if is_tracing() else []
    return [access, *spans, *([cors] if parts.cors_origins else []), Middleware(BodyLimit)]


def add_routes(app: FastAPI, parts: Parts, faces: Faces) -> list[APIRoute]:
    """Declare every route behind its gate, and return them."""
    backends, life = parts.backends, parts.life
    follower = Follower(watches=backends.watches, clock=life.clock, patience=FOLLOWED)
    public = APIRouter()
    InfoRoutes(life=life, health=backends.health, registry=parts.registry, gate=parts.gates.admin).add_to(public)
    DocsRoutes().add_to(public)
    IntegrationRoutes().add_to(public)
    WebhookRoutes(backends=backends).add_to(public)
    sign_in = ConsoleRoutes(gate=parts.gates.admin, sessions=parts.gates.sessions, pages=faces.console)
    sign_in.add_to(public)
    console = APIRouter(dependencies=[Depends(ConsoleGate(parts.gates.admin)), Depends(once_each)])
    sign_in.add_behind_gate(console)
    refreshing = Refreshing(tokens=backends.tokens, connections=backends.connections)
    accounts = CreatorAccounts(connections=backends.connections, stats=backends.stats)
    for page in (StoreListPages, SyncPages, SchedulePage, AuditPage, VaultPage):
        page(backends=backends, pages=faces.console).add_to(console)
    for dated in (OverviewPage, StorePages):
        dated(backends=backends, pages=faces.console, clock=life.clock).add_to(console)
    RefreshPage(refreshing=refreshing, pages=faces.console).add_to(console)
    CreatorPage(accounts=accounts, sync=backends.sync, pages=faces.console).add_to(console)
    admin = APIRouter(dependencies=[Depends(parts.gates.admin), Depends(once_each), Depends(known_only)])
    StoreRoutes(backends=backends).add_to(admin)
    ConnectionRoutes(backends=backends).add_to(admin)
    RefreshRoutes(refreshing=refreshing, stopping=life.stopping).add_to(admin)
    VaultRoutes(backends=backends, stopping=life.stopping).add_to(admin)
    StatsRoutes(backends=backends).add_to(admin)
    ReportRoutes(backends=backends).add_to(admin)
    ExportRoutes(backends=backends).add_to(admin)
    AuditRoutes(backends=backends).add_to(admin)
    results = Results(backends=backends, follower=follower, stopping=life.stopping)
    SyncRoutes(backends=backends, results=results).add_to(admin)
    creators = APIRouter(dependencies=[Depends(parts.gates.creators), Depends(once_each)])
    CreatorRoutes(accounts=accounts, sync=backends.sync, results=results).add_to(creators)
    users = APIRouter(dependencies=[Depends(parts.gates.users), Depends(once_each)])
    ShopRoutes(backends=backends).add_to(users)
    oauth = APIRouter(dependencies=[Depends(counted_once(parts.gates.oauth, parts.redirect_uri)), Depends(once_each)])
    ConnectRoutes(backends=backends, pages=faces.pages, redirect_uri=parts.redirect_uri).add_to(oauth)
    routers = (public, console, admin, creators, users, oauth)
    for router in routers:
        app.include_router(router)
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def add_error_handlers(app: FastAPI, faces: Faces, routes: Sequence[APIRoute], denials: DenialReports) -> None:
    """Answer every error in one place: as a page where a person is looking, else as JSON."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            if error.status_code == HTTPStatus.NOT_FOUND and for_people(request):
                return faces.console.missing(request)
            return refusal_response(with_all_methods(routes, request, error))
        failure = typed(error)
        if isinstance(failure, KeyMayOnlyRead):
            await denials.tell(request)
        if for_people(request):
            return faces.console.failed(request, failure)
        return faces.pages.failed(failure) if is_page(request) else error_response(failure)

    for kind in (TokhubError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def is_page(request: Request) -> bool:
    """Return whether a person is looking: programs that complete a connection POST."""
    return request.scope["path"] in PAGE_PATHS and request.method == "GET"


def with_all_methods(routes: Sequence[APIRoute], request: Request, refused: HTTPException) -> HTTPException:
    """Return a 405 whose Allow names the methods of every route on the path, not only of the first."""
    if refused.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return refused
    on_path = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in on_path for method in route.methods or ()}
    methods |= {"HEAD"} if "GET" in methods and request.scope["path"] not in NO_HEAD else set()
    return HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
