"""Faults at the gateway's doors: no key, a key where it does not belong, a consent that comes back twenty times."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from uuid import uuid4

import httpx
import jwt
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.settings import parse
from services.gateway.__main__ import Limiting, gates_of
from services.gateway.app import Faces, Parts, add_routes
from services.gateway.backends import Targets, open_backends
from services.gateway.console.pages import ConsolePages
from services.gateway.pages.render import Pages
from services.gateway.routes.connect import CALLBACK, CONNECT, NONCE
from services.gateway.routes.info import OPENAPI_PATH, Life
from services.gateway.settings import GatewaySettings
from tests.faults.case import case, expect
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.gateways import suite
from tests.faults.lab import Lab

CALLBACKS = 20
# What answers to somebody without anything, and how; whoever adds a route that needs no key has to name it here.
PUBLIC = {
    "GET /": 200,
    "GET /health": 200,
    "GET /metrics": 200,
    "GET /docs": 200,
    "GET /swagger": 200,
    "GET /api/docs": 200,
    "GET /api/docs/swagger-ui-bundle.js": 200,
    "GET /api/docs/swagger-ui.css": 200,
    f"GET {OPENAPI_PATH}": 200,
    f"GET {CONNECT}": 400,
    "GET /auth/url": 400,
    f"GET {CALLBACK}": 400,
    "GET /api/v1/tiktok/auth/callback": 400,
    "GET /integrations/tiktok.js": 200,
    "GET /console/static/{fingerprint}/{name}": 404,
    # From no page of the console.
    "POST /console/session": 403,
    "DELETE /console/session": 403,
    # Without saying where.
    "POST /console/sign-out": 400,
    # Without the signature of TikTok.
    "POST /webhooks/tiktok": 401,
    "POST /webhooks/tiktok-shop": 401,
}
NOT_THERE = ("/admin", "/api", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/debug", "/.env", "/server-status")
# What tells a stranger which weakness to try.
TELLING = ("uvicorn", "starlette", "fastapi", "python/", "httptools", "grpc", "postgres", "traceback", "/services/")
NOT_TAKEN = ("TRACE", "CONNECT", "PUT", "PROPFIND")

NAMES = ("X-API-KEY", "x-api-key", "api_key", "apiKey", "API-KEY", "key", "token", "access_token", "%61pi_key")
PLACES = (
    "GET /admin/stores",
    "GET /admin/audit",
    f"GET /admin/sync/runs/{uuid4()}/events",
    "POST /admin/sync/run",
    "GET /api/v1/tiktok/auth/status",
    "GET /api/v1/integrations/tiktok/status/creator_1",
)


async def served_routes() -> set[str]:
    """Return every route of the application as the shipped process composes it."""
    clock, settings = SystemClock(), parse(GatewaySettings, {"ADMIN_API_KEY": "k" * 48})
    life = Life(version="", clock=clock, started=0, stopping=asyncio.Event())
    async with open_backends(Targets(token="127.0.0.1:1", sync="127.0.0.1:1")) as backends:
        registry = CollectorRegistry()
        gates = gates_of(Limiting(settings=settings, clock=clock, registry=registry), None)
        parts = Parts(backends=backends, gates=gates, life=life, registry=registry)
        routes = add_routes(FastAPI(openapi_url=None), parts, Faces(pages=Pages(), console=ConsolePages()))
    return {f"{method} {route.path}" for route in routes for method in route.methods or ()} | {f"GET {OPENAPI_PATH}"}


def filled(route: str) -> tuple[str, str]:
    """Return the method and a path of a route, with something that fits in the place of each parameter."""
    method, _, path = route.partition(" ")
    values = {"store_code": "shop-1", "user_id": "creator_1"}
    parts = (values.get(part[1:-1], str(uuid4())) if part.startswith("{") else part for part in path.split("/"))
    return method, "/".join(parts)


def strangers(gateway: GatewayReplica) -> Mapping[str, Mapping[str, str]]:
    """Return what somebody without rights may show, by what is wrong with it."""
    claims = {"sub": "creator_1", "exp": int(time.time()) + 3600}
    tokens = {
        "a token of another secret": jwt.encode(claims, "x" * 48),
        "a token without a signature": jwt.encode(claims, "", algorithm="none"),
        "the key as a token": gateway.key,
        "no token": "",
    }
    return {
        "nothing": {},
        "a wrong key": {"X-API-KEY": "x" * 48},
        "an empty key": {"X-API-KEY": ""},
        "most of the key": {"X-API-KEY": gateway.key[:-1]},
        **{what: {"Authorization": f"Bearer {token}".strip()} for what, token in tokens.items()},
        "the key as a password": {"Authorization": httpx.BasicAuth("admin", gateway.key)._auth_header},
    }


@case(
    "S01 gateway",
    fault="every route without a key, with wrong ones, with tokens that nobody signed",
    expected="401 without anything else, for all but the routes that are listed as public",
)
async def nothing_is_shown(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    routes = await served_routes()
    expect(set(PUBLIC) <= routes, f"no routes any more: {set(PUBLIC) - routes}")
    answers: Counter[int] = Counter()
    for what, headers in strangers(gateway).items():
        stranger = gateway.visitor(**headers)
        for route in sorted(routes - set(PUBLIC)):
            answer = await stranger.request(*filled(route))
            answers[answer.status_code] += 1
            expect(answer.status_code == 401, f"{route} with {what}: {answer.status_code} {answer.text[:200]}")
            expect(set(answer.json()) == {"success", "error", "requestId"}, f"{route} with {what}: {answer.text[:200]}")
    return f"{len(routes)} routes, {len(PUBLIC)} public; {answers[401]} x 401"


@case(
    "S24 gateway",
    fault="somebody without a key looks around: all public routes, unknown ones, odd methods, the metrics from outside",
    expected="what is listed and nothing else, no word of what it is made of; metrics from outside with a key only",
)
async def what_strangers_see(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway", gateways={"HOST": str(IPv4Address(0))})
    stranger = gateway.visitor()
    for route, status in PUBLIC.items():
        answer = await stranger.request(*filled(route))
        expect(answer.status_code == status, f"{route}: {answer.status_code}")
        expect(not telling(route, answer), f"{route} tells of {telling(route, answer)}")
    absent = {path: (await stranger.get(path)).status_code for path in NOT_THERE}
    expect(set(absent.values()) == {404}, absent)
    refused = {method: (await stranger.request(method, "/admin/stores")).status_code for method in NOT_TAKEN}
    expect(set(refused.values()) <= {400, 405}, refused)
    forwarded = (await stranger.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status_code
    outside = await metrics_from_outside(gateway)
    expect((forwarded, outside) == (401, 401), (forwarded, outside))
    return f"{len(PUBLIC)} public routes as listed, {len(NOT_THERE)} x 404, methods {refused}; metrics from outside 401"


def telling(route: str, answer: httpx.Response) -> list[str]:
    """Return which telling words stand in an answer; a page of documentation names the program that shows it."""
    headers = str({name: value for name, value in answer.headers.items() if name != "content-security-policy"})
    body = "" if "swagger-ui" in route or route == "GET /metrics" else answer.text
    return [word for word in TELLING if word in f"{headers}{body}".lower()]


async def metrics_from_outside(gateway: GatewayReplica) -> int:
    """Return how the metrics answer to the address by which this machine reaches others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        mine = probe.getsockname()[0]
    return (await gateway.visitor(mine).get(f"http://{mine}:{gateway.metrics_port}/metrics")).status_code


@case(
    "S25",
    fault=f"the right key in the address, by {len(NAMES)} names, on routes of every kind, an event stream among them",
    expected="400 each time, with the header beside it too; the key stands in no log",
)
async def key_in_the_address(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    stranger, found = gateway.visitor(), Counter[str]()
    for place in PLACES:
        method, path = place.split(" ")
        for name in NAMES:
            for client in (stranger, gateway.admin):
                answer = await client.request(method, f"{path}?{name}={gateway.key}")
                found[f"{answer.status_code} {answer.json()['error']['code']}"] += 1
                expect(answer.status_code == 400, f"{place} with {name}: {answer.status_code}")
                expect(gateway.key not in answer.text, f"{place} with {name} repeats it")
    lines = [line for line in gateway.events() if line["msg"] == "request" and "?" in line["path"]]
    expect(not lines and gateway.key not in gateway.log.read_text(), lines[:1])
    return f"{found.total()} x {' '.join(found)}; {len(gateway.events())} lines in the log, none with the key"


@case(
    "C08 gateway",
    fault=f"a browser's way back from TikTok {CALLBACKS} times at once over three gateways",
    expected="one exchange, one page of success; the others say that the link was used already, 400",
)
async def callback_repeated(lab: Lab) -> str:
    gateways = await suite(lab, "first", "second", "third")
    await lab.syncs[0].create_stores("shop-1")
    browser = gateways[0].visitor()
    left = await browser.get(CONNECT, params={"store_code": "shop-1"})
    nonce = browser.cookies[NONCE.name]
    lab.accounts["shop-1"] = account = lab.sandbox.next_account()
    came_back = await asyncio.to_thread(lab.sandbox.consent, left.headers["location"], account)
    lab.made |= {came_back["state"], nonce}
    before = await lab.calls()
    browsers = [one.visitor(Cookie=f"{NONCE.name}={nonce}") for one in gateways]
    asked = [browsers[number % 3].get(CALLBACK, params=came_back) for number in range(CALLBACKS)]
    pages = await asyncio.gather(*asked)
    exchanges = await lab.calls() - before
    found = Counter(page.status_code for page in pages)
    already = sum("used already" in page.text for page in pages if page.status_code == 400)
    seen = f"{exchanges} exchange, {found[200]} x 200, {already} of {found[400]} x 400 say used already"
    expect((exchanges, found, already) == (1, {200: 1, 400: CALLBACKS - 1}, CALLBACKS - 1), f"{seen}; {found}")
    status = await lab.status("shop-1")
    expect(status == "ACTIVE", status)
    return seen
