"""Pages of the console before services that are scripted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import StorageUnavailable
from services.gateway.auth import AdminKey, parse_keys
from tests.gateway.served import KEYS, Gateway, Limits, serve_suite

PEOPLE = {key.name: key for key in parse_keys(KEYS)}


class NamedSessions:
    """Sessions whose tokens are the names of their keys."""

    async def begin(self, key: AdminKey) -> str:
        return key.name

    async def key_of(self, token: str) -> AdminKey | None:
        return PEOPLE.get(token)

    async def end(self, _token: str) -> None: ...

    async def end_all(self, _key: AdminKey) -> None: ...


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway whose console is open to who names a key."""
    async with serve_suite(Limits(sessions=NamedSessions())) as served:
        served.client.headers.update({"Accept": "text/html", "Origin": served.url})
        yield served


def signed_in(name: str = "ops") -> dict[str, str]:
    return {"Cookie": f"tokhub_session={name}"}


async def test_what_cannot_be_had_leaves_the_rest_of_the_page(gateway: Gateway) -> None:
    gateway.suite.stores.script.fail_next = StorageUnavailable("The database is away.")
    page = await gateway.client.get("/console", headers=signed_in())

    assert page.status_code == 200
    assert page.text.count('class="problem"') == 1
    assert "The database is away." in page.text
    assert "Last runs" in page.text


async def test_the_list_of_stores_leads_on_to_its_next_page(gateway: Gateway) -> None:
    for number in range(60):
        gateway.suite.stores.add(f"store_{number:04}")
    first = await gateway.client.get("/console/stores?search=s", headers=signed_in())
    second = await gateway.client.get("/console/stores?search=s&page_token=store_0049", headers=signed_in())

    assert "/console/stores?search=s&amp;status=&amp;page_token=store_0049" in first.text
    assert (first.text.count("<code"), second.text.count("<code")) == (50, 10)
    assert "First page" in second.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/console/stores/none", 404),
        ("/console/none", 404),
        ("/console/stores?status=OTHER", 400),
        ("/console/stores/a.b", 400),
        ("/console/stores?search=a&search=b", 400),
    ],
)
async def test_what_goes_wrong_is_a_page_of_the_console(gateway: Gateway, path: str, status: int) -> None:
    page = await gateway.client.get(path, headers=signed_in())

    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "That did not work" in page.text


@pytest.mark.parametrize("path", ["", "/store_1/connect-link", "/store_1/disconnect"])
async def test_a_key_that_may_only_read_is_refused(gateway: Gateway, path: str) -> None:
    gateway.suite.stores.add("store_1")
    form = {"store_code": "store_2", "store_name": "Two", "pic_name": "Sri"}
    page = await gateway.client.post(f"/console/stores{path}", data=form, headers=signed_in("viewer"))

    assert (page.status_code, "Insufficient permissions" in page.text) == (403, True)
    assert list(gateway.suite.stores.rows) == ["store_1"]


async def test_no_page_of_another_site_sends_a_form(gateway: Gateway) -> None:
    form = {"store_code": "store_2", "store_name": "Two", "pic_name": "Sri"}
    headers = {**signed_in(), "Origin": "https://evil.example"}
    page = await gateway.client.post("/console/stores", data=form, headers=headers)

    assert (page.status_code, list(gateway.suite.stores.rows)) == (403, [])


async def test_a_connect_link_is_shown_to_who_made_it_alone(gateway: Gateway) -> None:
    gateway.suite.stores.add("store_1")
    made = await gateway.client.post("/console/stores/store_1/connect-link", data={"a": "b"}, headers=signed_in())
    asked = await gateway.client.get("/console/stores/store_1/connect-link", headers=signed_in())

    assert (made.status_code, "data:image/svg+xml" in made.text) == (200, True)
    assert made.headers["cache-control"] == "no-store"
    assert asked.status_code == 405


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        (token_pb2.CONNECTION_STATUS_ACTIVE, {"Sync now", "New connect link", "Disconnect"}),
        (token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED, {"Reconnect", "Disconnect"}),
        (token_pb2.CONNECTION_STATUS_DISCONNECTED, {"Connect"}),
        (None, {"Connect"}),
    ],
)
async def test_a_store_offers_what_its_connection_needs(
    gateway: Gateway, status: token_pb2.ConnectionStatus.ValueType | None, buttons: set[str]
) -> None:
    gateway.suite.stores.add("store_1")
    if status is not None:
        gateway.suite.connections.connect("store_1", 1, status=status)
    gateway.suite.connections.explanation.explanation = "It waits until 2026-11-22 03:18:31 UTC & longer."
    shown = (await gateway.client.get("/console/stores/store_1", headers=signed_in())).text
    offered = {
        name for name in ("Sync now", "New connect link", "Reconnect", "Connect", "Disconnect") if f">{name}<" in shown
    }

    assert offered == buttons
    told = '<time datetime="2026-11-22T03:18:31Z">2026-11-22 03:18:31 UTC</time> &amp; longer.'
    assert (told in shown) == (status is not None)


async def test_the_page_of_a_run_names_some_failures_and_counts_the_others(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    run.most_ended = 300
    run.ended = [
        sync_pb2.EndedStore(sequence=number, store_code=f"s{number}", outcome=sync_pb2.OUTCOME_FAILED)
        for number in range(1, 701)
    ]
    await run.finish(failed=700)
    page = await gateway.client.get(f"/console/sync/runs/{run.row.id}", headers=signed_in())

    assert (page.text.count("<li><b>s"), "And 200 more." in page.text) == (500, True)


async def test_those_who_verify_together_share_a_walk_and_who_only_looks_begins_none(gateway: Gateway) -> None:
    audit, client = gateway.suite.token_audit, gateway.client
    assert (await client.get("/console/audit/verify", headers=signed_in())).status_code == 200
    assert audit.walks == 0
    audit.may_walk.clear()
    together = [
        asyncio.create_task(client.post("/console/audit/verify", data={"checkpoint": ""}, headers=signed_in()))
        for _ in range(5)
    ]
    await asyncio.sleep(1)
    audit.may_walk.set()

    assert [(await one).status_code for one in together] == [200] * 5
    assert audit.walks == 1
