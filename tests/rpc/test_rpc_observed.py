import asyncio
import re

import grpc
import pytest
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.errors import StoreNotFound
from libs.rpc.request_id import METADATA_KEY, bind_request_id
from tests.rpc.served_rpc import ASKED, GET_STORE, WATCH_SYNC, WATCHED, Served

GENERATED = re.compile(r"[0-9a-f]{32}")


async def id_at_the_server(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> str:
    """Return the request id a server works under for a call with this metadata."""
    answer = await stubs.StoreServiceStub(channel).GetStore(ASKED, metadata=metadata)
    return str(answer.store.store_name)


async def test_an_offered_request_id_is_kept(plain_channel: grpc.aio.Channel) -> None:
    assert await id_at_the_server(plain_channel, (METADATA_KEY, "a.B-1_2")) == "a.B-1_2"


async def test_a_missing_request_id_is_made(plain_channel: grpc.aio.Channel) -> None:
    made = {await id_at_the_server(plain_channel) for _ in range(3)}
    assert len(made) == 3
    assert all(GENERATED.fullmatch(one) for one in made)


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "a;b", '"', "{}"])
async def test_an_unacceptable_request_id_is_replaced(plain_channel: grpc.aio.Channel, offered: str) -> None:
    assert GENERATED.fullmatch(await id_at_the_server(plain_channel, (METADATA_KEY, offered)))


async def test_a_task_s_request_id_reaches_the_server_s_log(served: Served) -> None:
    bind_request_id("from-the-task")
    answer = await served.stores.GetStore(ASKED)
    assert answer.store.store_name == "from-the-task"
    line = next(line for line in served.log_lines if line["event"] == "rpc")
    assert line["request_id"] == "from-the-task"


async def test_calls_side_by_side_keep_their_ids_apart(served: Served) -> None:
    async def ask(number: int) -> str:
        bind_request_id(f"id-{number}")
        return str((await served.stores.GetStore(ASKED)).store.store_name)

    ids = await asyncio.gather(*(asyncio.create_task(ask(number)) for number in range(20)))
    assert ids == [f"id-{number}" for number in range(20)]


async def test_a_failure_names_the_request_id(served: Served, plain_channel: grpc.aio.Channel) -> None:
    served.behaviour.fail(StoreNotFound())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await id_at_the_server(plain_channel, (METADATA_KEY, "id-1"))
    assert dict(caught.value.trailing_metadata())[METADATA_KEY] == "id-1"


async def test_a_call_is_one_log_line_without_content(served: Served) -> None:
    await served.stores.GetStore(pb.GetStoreRequest(store_code="CNRYcode"))
    served.behaviour.fail(StoreNotFound("CNRYcode is not known."))
    with pytest.raises(StoreNotFound):
        await served.stores.GetStore(pb.GetStoreRequest(store_code="CNRYcode"))
    lines = [line for line in served.log_lines if line["event"] == "rpc"]
    assert [(line["status"], line["reason"]) for line in lines] == [("OK", ""), ("NOT_FOUND", "STORE_NOT_FOUND")]
    assert {line["method"] for line in lines} == {GET_STORE}
    assert "CNRY" not in str(served.log_lines)


async def test_calls_are_counted_by_outcome(served: Served) -> None:
    for _ in range(2):
        await served.stores.GetStore(ASKED)
    served.behaviour.fail(StoreNotFound())
    with pytest.raises(StoreNotFound):
        await served.stores.GetStore(ASKED)
    assert [answer.progress.sequence async for answer in served.runs.WatchSync(WATCHED)] == [1, 2, 3]
    assert served.calls(GET_STORE, "OK") == 2
    assert served.calls(GET_STORE, "NOT_FOUND", "STORE_NOT_FOUND") == 1
    assert served.calls(WATCH_SYNC, "OK") == 1
    assert served.registry.get_sample_value("tokhub_rpc_seconds_count", {"method": GET_STORE}) == 3
