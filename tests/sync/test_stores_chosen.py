from typing import Any

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.slot_log import SlotLog, Wanted
from services.sync.domain.rate_limit import RateLimit
from tests.sync.living_suite import LivingSuite, Replica

STATUSES = (
    sync_pb2.STORE_STATUS_CONNECTED,
    sync_pb2.STORE_STATUS_NEED_RECONNECT,
    sync_pb2.STORE_STATUS_NOT_CONNECTED,
    sync_pb2.STORE_STATUS_DISCONNECTED,
)


async def listed(replica: Replica, **asked: Any) -> list[str]:
    answer = await replica.stores.ListStores(sync_pb2.ListStoresRequest(**asked))
    return [store.store_code for store in answer.stores]


async def test_stores_are_found_by_what_people_know_of_them(replica: Replica) -> None:
    for code, name, person in (
        ("a-1", "Toko Élan", "Sri"),
        ("b-2", "100%_off", "Budi"),
        ("c-3", "Elsewhere", "SRIWATI"),
    ):
        new = sync_pb2.CreateStoreRequest(store_code=code, store_name=name, pic_name=person)
        await replica.stores.CreateStore(new)
    found = {text: await listed(replica, search=text) for text in ("sri", "lan", "%", "_", "A-1", "none")}
    assert found == {
        "sri": ["a-1", "c-3"],
        "lan": ["a-1"],
        "%": ["b-2"],
        "_": ["b-2"],
        "A-1": ["a-1"],
        "none": [],
    }


async def test_stores_are_listed_and_counted_by_status(suite: LivingSuite, replica: Replica) -> None:
    for code in ("fine", "lost", "left"):
        await suite.connect(code)
    await suite.add_store("new")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'REAUTH_REQUIRED' WHERE owner_id = 'lost'")
    owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="left")
    named = token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_LOGIN_KIT, owner=owner)
    reference = token_pb2.ConnectionReference(owner_connection=named)
    await suite.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference))
    counts = (await replica.stores.CountStores(sync_pb2.CountStoresRequest())).counts
    assert [await listed(replica, status=status) for status in STATUSES] == [["fine"], ["lost"], ["new"], ["left"]]
    assert await listed(replica, status=sync_pb2.STORE_STATUS_CONNECTED, search="lo") == []
    assert [(count.status, count.stores) for count in counts] == [(status, 1) for status in STATUSES]


async def test_the_budget_tells_what_counts_now(suite: LivingSuite, replica: Replica) -> None:
    log = SlotLog(database=Database(suite.reporting), limit=RateLimit(calls=600))
    assert list((await replica.runs.GetBudget(sync_pb2.GetBudgetRequest())).endpoints) == []
    await log.take("video/list", Wanted(interactive=3, bulk=4), [])
    await log.take("user/info", Wanted(interactive=1, bulk=0), [])
    await log.slow_down("user/info", 30)
    budget = await replica.runs.GetBudget(sync_pb2.GetBudgetRequest())
    slowed, free = budget.endpoints
    assert (slowed.endpoint, slowed.used, slowed.HasField("resume_time")) == ("user/info", 1, True)
    assert (free.endpoint, free.used, free.HasField("resume_time")) == ("video/list", 7, False)
    assert slowed.limit < free.limit
    assert budget.window.seconds == 60
