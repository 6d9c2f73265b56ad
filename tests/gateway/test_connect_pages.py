"""What the pages of a connection say of its cause, and by which name a browser is sent to TikTok."""

import pytest

from libs.errors import AccountAlreadyConnected, ShopChoiceRequired, TokhubError
from tests.gateway.served import Gateway, Limits, serve_suite
from tests.gateway.test_connect_routes import come_back, connect

CONNECT = "/connect/tiktok"
ELSEWHERE = ("https://evil.example", "//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)")


async def failed_by(gateway: Gateway, error: TokhubError) -> str:
    """Return the page of a callback that fails so."""
    state, cookie = await connect(gateway)
    gateway.suite.connections.script.fail_next = error
    page = await come_back(gateway, cookie, state=state, code="c")
    assert page.status_code == 409
    return str(page.text)


async def test_an_account_of_somebody_else_is_told_apart(gateway: Gateway) -> None:
    taken = await failed_by(gateway, AccountAlreadyConnected(metadata={"owner": "store st***"}))
    other = await failed_by(gateway, AccountAlreadyConnected("This store is connected to another TikTok account."))

    assert "This TikTok account is connected to another owner already (store st***)" in taken
    assert "Another TikTok account is connected here already" in other


async def test_a_seller_with_several_shops_is_told_to_choose(gateway: Gateway) -> None:
    assert "one of them must be chosen" in await failed_by(gateway, ShopChoiceRequired(metadata={"shops": "[]"}))


@pytest.mark.parametrize("query", ["", "?store_code=", "?store_code=a%20b", "?store_code=a&store_code=b"])
async def test_a_link_without_a_usable_store_code_names_it(gateway: Gateway, query: str) -> None:
    page = await gateway.client.get(f"{CONNECT}{query}")

    assert page.status_code == 400
    assert "its store_code is missing or not valid" in page.text


async def test_a_store_that_is_unknown_is_named_by_its_parameter(gateway: Gateway) -> None:
    page = await gateway.client.get(f"{CONNECT}?store_code=nobody")

    assert page.status_code == 404
    assert "There is no store with the store_code of this link" in page.text


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.2", "[::1]"])
async def test_another_name_of_this_machine_leads_to_the_one_tiktok_uses(gateway: Gateway, name: str) -> None:
    gateway.suite.stores.add("a")

    answer = await gateway.client.get(f"{CONNECT}?store_code=a", headers={"Host": f"{name}:{gateway.port}"})

    assert (answer.status_code, answer.headers["Location"]) == (302, f"{gateway.url}{CONNECT}?store_code=a")
    assert "Set-Cookie" not in answer.headers
    assert not gateway.suite.connections.links


async def test_being_sent_on_to_that_name_costs_no_request() -> None:
    async with serve_suite(Limits(oauth=1)) as gateway:
        gateway.suite.stores.add("a")
        by_name = {"Host": f"localhost:{gateway.port}"}
        asked = [(CONNECT, by_name), (CONNECT, by_name), (CONNECT, {}), ("/auth/url", by_name)]
        answers = [await gateway.client.get(f"{path}?store_code=a", headers=headers) for path, headers in asked]

    assert [answer.status_code for answer in answers] == [302, 302, 302, 429]


@pytest.mark.parametrize("host", ["localhost:1", "localhost", "hub.example", "evil.example:80", "[", "localhost:x", ""])
async def test_any_other_host_goes_to_tiktok_at_once(gateway: Gateway, host: str) -> None:
    gateway.suite.stores.add("a")

    answer = await gateway.client.get(f"{CONNECT}?store_code=a", headers={"Host": host})

    assert answer.headers["Location"].startswith("https://tiktok.example/")
    assert len(gateway.suite.connections.links) == 1


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("name", ["return_to", "redirect_uri", "next", "url", "store_code"])
async def test_no_parameter_leads_elsewhere(gateway: Gateway, name: str, elsewhere: str) -> None:
    gateway.suite.stores.add("a")
    parameters = {"store_code": "a", name: elsewhere}

    by_name = await gateway.client.get(CONNECT, params=parameters, headers={"Host": f"localhost:{gateway.port}"})
    at_once = await gateway.client.get(CONNECT, params=parameters)

    if name == "store_code":
        assert [one.status_code for one in (by_name, at_once)] == [400, 400]
        return
    assert by_name.headers["Location"] == f"{gateway.url}{CONNECT}?store_code=a"
    assert at_once.headers["Location"].startswith("https://tiktok.example/")
    assert "evil" not in at_once.headers["Location"]
