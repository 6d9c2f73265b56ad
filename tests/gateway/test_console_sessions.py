import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from services.gateway.auth import digest
from services.gateway.database import Database
from services.gateway.session_rows import PostgresSessions
from services.gateway.sharing import Sharing
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import ADMIN, ADMIN_KEY, READ_KEY, Gateway
from tests.gateway.signing_in import (
    FORM,
    HERE,
    JSON,
    LIFE,
    NEW_STORE,
    PAGE,
    Serve,
    delete,
    get,
    post,
    sharing_sessions,
    sign_in,
)


@pytest.fixture
async def serve(database_dsn: str) -> AsyncIterator[Serve]:
    """Starts gateways that keep their sessions in one database."""
    async with sharing_sessions(database_dsn) as start:
        yield start


async def execute(dsn: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def test_a_form_begins_a_session_that_the_page_shows(serve: Serve) -> None:
    gateway = await serve()
    before = await get(gateway, "/console", PAGE)
    cookie = await sign_in(gateway)
    page = (await get(gateway, "/console", PAGE, cookie)).body.decode()

    assert b'type="password"' in before.body
    assert '<span class="name">ops</span>' in page
    assert "May read and change everything" in page
    assert ADMIN_KEY not in page


async def test_the_cookie_is_kept_from_scripts_and_other_sites(serve: Serve) -> None:
    gateway = await serve()
    answer = await post(gateway, "/console/session", HERE, FORM, body=f"key={ADMIN_KEY}".encode())

    name_and_value, *attributes = answer.headers["set-cookie"].split("; ")
    assert name_and_value.startswith("tokhub_session=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(attributes)
    assert ADMIN_KEY not in name_and_value


async def test_over_https_the_cookie_is_this_hosts_alone(serve: Serve) -> None:
    gateway = await serve()
    asked = request("POST", "/console/session", "Origin: https://hub.example", FORM, body=f"key={ADMIN_KEY}".encode())
    answer = await exchange(gateway.port, asked.replace(b"Host: 127.0.0.1", b"Host: hub.example"))

    assert answer.headers["set-cookie"].startswith("__Host-tokhub_session=")
    assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_plain_http_from_elsewhere_is_told_to_use_https(serve: Serve) -> None:
    gateway = await serve()
    asked = request("POST", "/console/session", "Origin: http://hub.example", FORM, body=f"key={ADMIN_KEY}".encode())
    answer = await exchange(gateway.port, asked.replace(b"Host: 127.0.0.1", b"Host: hub.example"))

    assert answer.status == 403
    assert b"over https" in answer.body
    assert "set-cookie" not in answer.headers


async def test_programs_sign_in_with_json(serve: Serve) -> None:
    gateway = await serve()
    answer = await post(gateway, "/console/session", HERE, JSON, body=f'{{"key": "{READ_KEY}"}}'.encode())

    assert (answer.status, answer.json()) == (200, {"success": True, "data": {"name": "viewer", "role": "read"}})


async def test_a_session_is_good_at_every_gateway(serve: Serve) -> None:
    one, other = await serve(), await serve()
    cookie = await sign_in(one)

    assert (await get(other, "/admin/stores", cookie)).status == 200
    assert (await post(other, "/admin/stores", cookie, HERE, JSON, body=NEW_STORE)).status == 201


async def test_signing_out_holds_at_every_gateway(serve: Serve) -> None:
    one, other = await serve(), await serve()
    cookie, elsewhere = await sign_in(one), await sign_in(one)
    left = await delete(other, "/console/session", cookie, HERE)

    assert (left.status, "Max-Age=0" in left.headers["set-cookie"]) == (204, True)
    assert (await get(one, "/admin/stores", cookie)).status == 401
    assert (await get(one, "/admin/stores", elsewhere)).status == 200


@pytest.mark.parametrize("way", ["form", "program", "key"])
async def test_signing_out_everywhere_spares_other_keys(serve: Serve, way: str) -> None:
    gateway = await serve()
    mine, another, theirs = await sign_in(gateway), await sign_in(gateway), await sign_in(gateway, READ_KEY)
    if way == "form":
        left = await post(gateway, "/console/sign-out", mine, HERE, FORM, body=b"where=everywhere")
    else:
        asked = [mine, HERE] if way == "program" else [f"X-API-KEY: {ADMIN_KEY}"]
        left = await delete(gateway, "/console/sessions", *asked)

    statuses = [(await get(gateway, "/admin/stores", cookie)).status for cookie in (mine, another, theirs)]
    assert (left.status, statuses) == (303 if way == "form" else 204, [401, 401, 200])


async def test_a_form_signs_out_here_alone(serve: Serve) -> None:
    gateway = await serve()
    mine, another = await sign_in(gateway), await sign_in(gateway)
    left = await post(gateway, "/console/sign-out", mine, HERE, FORM, body=b"where=here")

    statuses = [(await get(gateway, "/admin/stores", cookie)).status for cookie in (mine, another)]
    assert (left.status, left.headers["location"], statuses) == (303, "/console", [401, 200])


@pytest.mark.parametrize("keys", [f"viewer:read:{READ_KEY}", f"ops:admin:{ADMIN_KEY[::-1]},viewer:read:{READ_KEY}"])
async def test_a_session_ends_when_its_key_leaves(serve: Serve, keys: str) -> None:
    before, after = await serve(), await serve(keys)
    cookie = await sign_in(before)

    assert (await get(after, "/admin/stores", cookie)).status == 401
    assert b"Sign in" in (await get(after, "/console", PAGE, cookie)).body


async def test_a_session_has_the_role_its_key_has_now(serve: Serve) -> None:
    before, after = await serve(), await serve(f"ops:read:{ADMIN_KEY}")
    cookie = await sign_in(before)

    assert (await post(after, "/admin/stores", cookie, HERE, JSON, body=NEW_STORE)).status == 403


@pytest.mark.parametrize(("column", "seconds"), [("used_at", 601), ("begun_at", 3601)])
async def test_a_session_ends_unused_and_at_last(serve: Serve, database_dsn: str, column: str, seconds: int) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    statement = f"UPDATE gateway.sessions SET {column} = {column} - interval '%d s'"
    await execute(database_dsn, statement % (seconds - 60))
    in_time = await get(gateway, "/admin/stores", cookie)
    await execute(database_dsn, f"UPDATE gateway.sessions SET {column} = now() - interval '{seconds} s'")
    late = await get(gateway, "/admin/stores", cookie)

    assert (in_time.status, late.status) == (200, 401)


async def test_using_a_session_keeps_it_and_seldom_writes(serve: Serve, database_dsn: str) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    versions = []
    for age in (0, 0, 300, 0):
        await execute(database_dsn, f"UPDATE gateway.sessions SET used_at = now() - interval '{age} s' WHERE {age} > 0")
        before = await execute(database_dsn, "SELECT xmin::text FROM gateway.sessions")
        assert (await get(gateway, "/admin/stores", cookie)).status == 200
        versions.append(await execute(database_dsn, "SELECT xmin::text FROM gateway.sessions") == before)

    assert versions == [True, True, False, True]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Origin: null"],
        ["Origin: http://127.0.0.1:5173"],
        ["Origin: https://127.0.0.1"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site", HERE],
        ["Sec-Fetch-Site: none"],
    ],
)
async def test_other_pages_change_nothing_with_a_session(serve: Serve, headers: list[str]) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    created = await post(gateway, "/admin/stores", cookie, *headers, JSON, body=NEW_STORE)
    left = await delete(gateway, "/console/session", cookie, *headers)
    begun = await post(gateway, "/console/session", *headers, FORM, body=f"key={READ_KEY}".encode())

    assert [created.status, left.status, begun.status] == [403, 403, 403]
    assert gateway.suite.stores.rows == {}
    assert (await get(gateway, "/admin/stores", cookie)).status == 200


async def test_a_browser_that_names_the_page_needs_no_origin(serve: Serve) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    headers = [cookie, "Sec-Fetch-Site: same-origin", "Origin: null", JSON]

    assert (await post(gateway, "/admin/stores", *headers, body=NEW_STORE)).status == 201


async def test_a_reading_session_changes_nothing_but_itself(serve: Serve) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway, READ_KEY)

    assert (await post(gateway, "/admin/stores", cookie, HERE, JSON, body=NEW_STORE)).status == 403
    assert (await delete(gateway, "/console/sessions", cookie, HERE)).status == 204


async def test_wrong_keys_at_the_door_are_counted_together(serve: Serve) -> None:
    gateway = await serve()
    guesses = [post(gateway, "/console/session", HERE, FORM, body=b"key=" + b"x" * 40) for _ in range(30)]
    statuses = [answer.status for answer in await asyncio.gather(*guesses)]
    right = await post(gateway, "/console/session", HERE, FORM, body=f"key={ADMIN_KEY}".encode())
    route = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert (statuses.count(401), statuses.count(429)) == (5, 25)
    assert (right.status, b"Try again in 15 min" in right.body, "set-cookie" in right.headers) == (429, True, False)
    assert route.status_code == 429


async def test_ended_sessions_lock_nobody_out(serve: Serve) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    await delete(gateway, "/console/session", cookie, HERE)
    statuses = {(await get(gateway, "/admin/stores", cookie)).status for _ in range(10)}

    assert statuses == {401}
    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200


async def test_a_key_beside_a_session_is_what_counts(serve: Serve) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    statuses = [(await get(gateway, "/admin/stores", cookie, "X-API-KEY: wrong")).status for _ in range(6)]

    assert statuses == [401] * 5 + [429]


async def test_rows_tell_neither_token_nor_key(serve: Serve, database_dsn: str) -> None:
    gateway = await serve()
    cookie = await sign_in(gateway)
    row = (await execute(database_dsn, "SELECT sessions::text AS row, id FROM gateway.sessions"))[0]
    token = cookie.partition("=")[2]

    assert token not in row["row"]
    assert row["id"] not in (digest(token), digest(ADMIN_KEY))


async def test_sessions_that_ended_are_deleted(serve: Serve, database_dsn: str) -> None:
    gateway = await serve()
    await sign_in(gateway)
    await execute(database_dsn, "UPDATE gateway.sessions SET used_at = now() - interval '601 s'")
    await sign_in(gateway)
    database = Database(Sharing(clock=SystemClock(), registry=CollectorRegistry()))
    async with database.opened(database_dsn):
        await PostgresSessions(database).prune(LIFE)

    assert len(await execute(database_dsn, "SELECT FROM gateway.sessions")) == 1


async def test_without_a_database_nobody_signs_in(gateway: Gateway) -> None:
    answer = await post(gateway, "/console/session", HERE, FORM, body=f"key={ADMIN_KEY}".encode())

    assert (answer.status, b"DATABASE_URL" in answer.body) == (500, True)
    assert (await get(gateway, "/console", PAGE, "Cookie: tokhub_session=x")).status == 401


@pytest.mark.parametrize("body", [b"", b"key=", b"key=a&key=b", b"\xff=1", b"other=1"])
async def test_a_form_without_one_key_signs_nobody_in(serve: Serve, body: bytes) -> None:
    gateway = await serve()
    answer = await post(gateway, "/console/session", HERE, FORM, body=body)

    assert answer.status in {400, 401}
    assert "set-cookie" not in answer.headers


async def test_pages_run_and_load_what_is_their_own_alone(serve: Serve) -> None:
    gateway = await serve()
    page = await get(gateway, "/console", PAGE, await sign_in(gateway))
    policy = page.headers["content-security-policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    assert set(re.findall(rb"<(?:script|style)[^>]*", page.body)) == set(
        re.findall(rb"<script[^>]* src=[^>]*", page.body)
    )
    assert b" style=" not in page.body


async def test_what_pages_load_is_kept_under_its_fingerprint_alone(serve: Serve) -> None:
    gateway = await serve()
    page = (await get(gateway, "/console", PAGE)).body.decode()
    (style,) = re.findall(r'rel="stylesheet" href="([^"]*)"', page)
    kept = await get(gateway, style, "Accept-Encoding: br, gzip")
    other = await get(gateway, "/console/static/0123456789abcdef/console.css")

    assert (kept.headers["content-encoding"], "immutable" in kept.headers["cache-control"]) == ("gzip", True)
    assert (other.status, other.headers["cache-control"]) == (200, "no-store")
    assert gzip.decompress(kept.body) == other.body
    assert (await get(gateway, "/console/static/0123456789abcdef/console.py")).status == 404


async def test_opening_the_console_is_no_wrong_key(serve: Serve) -> None:
    gateway = await serve()
    statuses = {(await get(gateway, "/console", PAGE)).status for _ in range(10)}

    assert statuses == {401}
    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200


async def test_a_link_of_another_site_is_followed_once_more_from_here(serve: Serve) -> None:
    gateway = await serve()
    led = await get(gateway, "/console?done=x", PAGE, "Sec-Fetch-Site: cross-site")
    again = await get(gateway, "/console?done=x", PAGE, "Sec-Fetch-Site: same-origin")

    assert b'content="0;url=/console?done=x"' in led.body
    assert (b"API key" in led.body, b"API key" in again.body) == (False, True)


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/console/stores?status=CONNECTED", "/console/stores?status=CONNECTED"),
        ("//evil.example/console", "/console"),
        ("/console//evil.example", "/console"),
        ("/console\r\nSet-Cookie: a=b", "/console"),
        ("https://evil.example/console", "/console"),
        ("/console/../admin/stores", "/console"),
    ],
)
async def test_signing_in_leads_to_pages_of_the_console_alone(serve: Serve, wanted: str, led_to: str) -> None:
    gateway = await serve()
    body = urlencode({"key": ADMIN_KEY, "to": wanted}).encode()
    answer = await post(gateway, "/console/session", HERE, FORM, body=body)

    assert (answer.status, answer.headers["location"]) == (303, led_to)
