import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, StateInvalid, StoreNotFound
from tests.sync.living_suite import JOB_USER, LivingSuite, Replica


def change(*mask: str, **values: str) -> sync_pb2.UpdateStoreRequest:
    return sync_pb2.UpdateStoreRequest(store_code="shop", update_mask=FieldMask(paths=mask), **values)


async def create(replica: Replica) -> None:
    await replica.stores.CreateStore(
        sync_pb2.CreateStoreRequest(store_code="shop", store_name="Shop", pic_name="Sri", pic_contact="sri@example.com")
    )


async def shown(replica: Replica) -> sync_pb2.Store:
    return (await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop"))).store


async def test_a_change_leaves_the_rest(replica: Replica) -> None:
    await create(replica)
    changed = (await replica.stores.UpdateStore(change(pic_name="Budi"))).store
    assert (changed.store_name, changed.pic_name, changed.pic_contact) == ("Shop", "Budi", "sri@example.com")
    assert changed == await shown(replica)


async def test_a_named_and_absent_contact_is_removed(replica: Replica) -> None:
    await create(replica)
    await replica.stores.UpdateStore(change("pic_contact", "store_name", store_name="New"))
    assert (await shown(replica)).store_name == "New"
    assert not (await shown(replica)).HasField("pic_contact")


@pytest.mark.parametrize("mask", ["pic_name", "team_id", "archived_at"])
async def test_a_wrong_mask_is_refused(replica: Replica, mask: str) -> None:
    await create(replica)
    with pytest.raises(InvalidField):
        await replica.stores.UpdateStore(change(mask))


async def test_an_unknown_store_cannot_be_changed(replica: Replica) -> None:
    with pytest.raises(StoreNotFound):
        await replica.stores.UpdateStore(change(pic_name="Budi"))
    with pytest.raises(StoreNotFound):
        await replica.stores.DeleteStore(sync_pb2.DeleteStoreRequest(store_code="shop"))


async def test_a_deleted_store_is_disconnected_and_keeps_its_history(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_USER, "shop")
    await replica.stores.DeleteStore(sync_pb2.DeleteStoreRequest(store_code="shop"))
    with pytest.raises(StoreNotFound):
        await shown(replica)
    listed = await suite.connections.ListConnections(token_pb2.ListConnectionsRequest())
    assert [one.status for one in listed.connections] == [token_pb2.CONNECTION_STATUS_DISCONNECTED]
    assert suite.sandbox.ledger(suite.accounts["shop"])["grants"][0]["live_refresh_token"] is None
    await create(replica)
    assert (await shown(replica)).HasField("latest_user_stats")


async def test_a_link_of_a_deleted_store_connects_nothing(suite: LivingSuite, replica: Replica) -> None:
    await create(replica)
    link = await suite.connections.StartAuthorization(
        token_pb2.StartAuthorizationRequest(
            provider=token_pb2.PROVIDER_LOGIN_KIT,
            owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="shop"),
            binding=token_pb2.LINK_BINDING_NONE,
        )
    )
    await replica.stores.DeleteStore(sync_pb2.DeleteStoreRequest(store_code="shop"))
    with pytest.raises(StateInvalid):
        await suite.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=link.state, code="code")
        )
