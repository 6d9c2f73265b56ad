"""What the gateway says about itself: name, health, metrics."""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, Response

from libs.clock import Clock
from libs.rpc.request_id import current_request_id
from services.gateway.backends import UNAVAILABLE, Health
from services.gateway.gates import AdminGate
from services.gateway.shapes.times import clock_text

NAME = "TikTok Content Reporting Hub"
OPENAPI_PATH = "/api/openapi.json"
DOCS_PATHS = ("/api/docs", "/docs", "/swagger")
FORWARDING_HEADERS = ("forwarded", "x-forwarded-", "x-real-ip", "via")

ENDPOINTS: Mapping[str, Any] = MappingProxyType(
    {
        "health": "GET /health",
        "connect": "GET /connect/tiktok?store_code=xxx",
        "authUrl": "GET /auth/url?store_code=xxx",
        "admin": {
            "stores": "GET /admin/stores",
            "createStore": "POST /admin/stores",
            "store": "GET /admin/stores/{store_code}",
            "accounts": "GET /admin/stores/{store_code}/accounts",
            "userStats": "GET /admin/stores/{store_code}/user-stats?days=30",
            "videoStats": "GET /admin/stores/{store_code}/video-stats?days=30",
            "storeSyncLogs": "GET /admin/stores/{store_code}/sync-logs?limit=50",
            "reports": "GET /admin/reports/growth?from=2026-01-01&to=2026-01-31&format=json",
            "export": "GET /admin/export?dataset=user_daily&format=csv",
            "sync": "POST /admin/sync/run",
            "syncStatus": "GET /admin/sync/status",
            "syncRuns": "GET /admin/sync/runs?active=true&limit=50",
            "syncRun": "GET /admin/sync/runs/{id}",
            "syncRunEvents": "GET /admin/sync/runs/{id}/events",
            "cancelRun": "POST /admin/sync/runs/{id}/cancel",
            "syncLogs": "GET /admin/sync/logs?store_code=xxx&limit=50",
        },
        "shop": "GET /api/v1/tiktok/auth/status",
        "creator": "GET /api/v1/integrations/tiktok/status/{user_id}",
    }
)


@dataclass(frozen=True, kw_only=True)
class Life:
    """This process: its version, its clock, when it began, and whether it was told to stop."""

    version: str
    clock: Clock
    started: float
    stopping: asyncio.Event


class InfoRoutes:
    """Routes without authentication that tell how the suite is."""

    def __init__(self, *, life: Life, health: Health, registry: CollectorRegistry, gate: AdminGate) -> None:
        self._gate = gate
        self._life = life
        self._health = health
        self._registry = registry

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route("/", self.index, summary="Name, version and routes", tags=["info"])
        router.add_api_route("/health", self.health, summary="Whether everything is usable", tags=["info"])
        router.add_api_route("/metrics", self.metrics, include_in_schema=False)

    async def index(self) -> JSONResponse:
        """Say what this is and where to go."""
        return JSONResponse(
            {
                "name": NAME,
                "version": self._life.version,
                "documentation": DOCS_PATHS[1],
                "endpoints": dict(ENDPOINTS),
            }
        )

    async def health(self) -> JSONResponse:
        """Answer 200 while everything that is listed can be used, else 503 with the same body."""
        clock = self._life.clock
        asked = clock.monotonic()
        checks = await self._health.checks()
        healthy = UNAVAILABLE not in checks.values() and not self._life.stopping.is_set()
        body = {
            "status": "healthy" if healthy else "unhealthy",
            "timestamp": clock_text(clock.now()),
            "uptime": int(clock.monotonic() - self._life.started),
            "version": self._life.version,
            "requestId": current_request_id(),
            "checks": checks,
            "responseTime": round((clock.monotonic() - asked) * 1000),
        }
        return JSONResponse(body, 200 if healthy else 503)

    async def metrics(self, request: Request) -> Response:
        """Answer Prometheus on this machine, and elsewhere who has a key; a proxy on this machine brings strangers."""
        if is_forwarded(request) or not from_loopback(request):
            await self._gate.let_in(request)
            await self._gate.ask_for_key(request)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def is_forwarded(request: Request) -> bool:
    """Return whether a proxy speaks for somebody; proxies that do not say so mostly speak HTTP/1.0."""
    said = any(name.startswith(FORWARDING_HEADERS) for name in request.headers)
    return said or request.scope["http_version"] == "1.0"


def from_loopback(request: Request) -> bool:
    """Return whether the peer is this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
