import pytest
from tokhub.token.v1 import token_pb2

from tests.gateway.served import ADMIN, READ, Gateway

STORE = "/admin/stores/shop"


async def test_a_patch_changes_only_what_it_names(gateway: Gateway) -> None:
    gateway.suite.stores.add("shop", pic_contact="old@example.com")

    answer = await gateway.client.patch(STORE, headers=ADMIN, json={"pic_name": "Sri"})

    shown = answer.json()["data"]
    assert (shown["storeName"], shown["picName"], shown["picContact"]) == ("Store shop", "Sri", "old@example.com")
    assert answer.json() == (await gateway.client.get(STORE, headers=ADMIN)).json()


async def test_a_contact_of_null_is_removed(gateway: Gateway) -> None:
    gateway.suite.stores.add("shop", pic_contact="old@example.com")
    answer = await gateway.client.patch(STORE, headers=ADMIN, json={"pic_contact": None})
    assert answer.json()["data"]["picContact"] is None


async def test_a_patch_of_nothing_answers_like_get(gateway: Gateway) -> None:
    gateway.suite.stores.add("shop")
    answer = await gateway.client.patch(STORE, headers=ADMIN, json={})
    assert answer.json() == (await gateway.client.get(STORE, headers=ADMIN)).json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store_name": None}, "store_name must be 1-255 characters"),
        ({"pic_name": ""}, "pic_name must be 1-255 characters"),
        ({"store_code": "other"}, "store_code is not a field of this request"),
    ],
)
async def test_a_wrong_change_is_refused(gateway: Gateway, change: dict[str, object], message: str) -> None:
    gateway.suite.stores.add("shop")
    answer = await gateway.client.patch(STORE, headers=ADMIN, json=change)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


async def test_a_deleted_store_is_gone(gateway: Gateway) -> None:
    gateway.suite.stores.add("shop")
    answer = await gateway.client.delete(STORE, headers=ADMIN)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await gateway.client.delete(STORE, headers=ADMIN)).status_code == 404


async def test_a_link_of_an_operator_may_replace_the_account(gateway: Gateway) -> None:
    gateway.suite.stores.add("shop", team_id=7)

    answer = await gateway.client.post(f"{STORE}/connect-link", headers=ADMIN)

    request, _ = next(iter(gateway.suite.connections.links.values()))
    assert (request.purpose, request.owner.id, request.team_id) == (token_pb2.LINK_PURPOSE_REPLACE, "shop", 7)
    assert answer.json()["data"]["expiresAt"] == "2026-01-02T00:00:00.000Z"
    assert "state=" in answer.json()["data"]["url"]


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/connect-link")])
async def test_a_reader_changes_no_store(gateway: Gateway, method: str, path: str) -> None:
    gateway.suite.stores.add("shop")
    answer = await gateway.client.request(method, f"{STORE}{path}", headers=READ)
    assert answer.status_code == 403
    assert not gateway.suite.connections.links
