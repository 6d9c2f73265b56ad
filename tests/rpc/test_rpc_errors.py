import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.errors import (
    Internal,
    InvalidField,
    Reason,
    RunNotFound,
    ServerMisconfig,
    ShopChoiceRequired,
    StoreNotFound,
    TokhubError,
    TryLater,
)
from libs.rpc.client import open_channel
from libs.rpc.status import CLASSES, CODES, OPAQUE
from services.token.core.authorization import choices_among
from services.token.domain.shop import Shop
from tests.rpc.served_rpc import ASKED, WATCHED, Served

MESSAGE = "Store 50% off — 店: gone.\nCreate it first."


def example(kind: type[TokhubError]) -> TokhubError:
    """Return an error of a kind with everything that kind carries."""
    if issubclass(kind, InvalidField):
        return kind("stores.code", "must be short")
    if issubclass(kind, TryLater):
        return kind(MESSAGE, retry_after=2.75, metadata={"run_id": "r-1"})
    return kind(MESSAGE, metadata={"run_id": "r-1", "store": "店"})


def test_every_reason_has_a_code_and_a_class() -> None:
    assert set(CODES) == set(Reason)
    assert set(CLASSES) == {reason.value for reason in Reason}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
async def test_an_error_arrives_as_it_was_raised(served: Served, kind: type[TokhubError]) -> None:
    raised = example(kind)
    served.behaviour.fail(raised)
    with pytest.raises(kind) as caught:
        await served.stores.GetStore(ASKED)
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.metadata) == (raised.message, raised.metadata)
    assert getattr(caught.value, "retry_after", None) == getattr(raised, "retry_after", None)
    assert getattr(caught.value, "description", None) == getattr(raised, "description", None)


async def test_an_error_that_tells_of_many_shops_arrives(served: Served) -> None:
    shops = [Shop(id=f"{number:019}", cipher="", name="店" * 255, region="GB", seller_type="") for number in range(500)]
    told = choices_among(shops)
    served.behaviour.fail(ShopChoiceRequired(metadata={"shops": told}))

    with pytest.raises(ShopChoiceRequired) as caught:
        await served.stores.GetStore(ASKED)

    assert caught.value.metadata["shops"] == told
    assert [one["id"] for one in json.loads(told)] == [shop.id for shop in shops[:100]]


async def test_an_error_without_words_brings_its_own(served: Served) -> None:
    served.behaviour.fail(StoreNotFound())
    with pytest.raises(StoreNotFound, match="Store not found"):
        await served.stores.GetStore(ASKED)


async def test_an_error_in_a_stream_follows_what_was_sent(served: Served) -> None:
    async def one_then_error() -> AsyncIterator[pb.WatchSyncResponse]:
        yield pb.WatchSyncResponse(progress=pb.Progress(sequence=1))
        raise RunNotFound(MESSAGE)

    served.behaviour.stream = one_then_error
    answers = aiter(served.runs.WatchSync(WATCHED))
    assert (await anext(answers)).progress.sequence == 1
    with pytest.raises(RunNotFound) as caught:
        await anext(answers)
    assert caught.value.message == MESSAGE


@pytest.mark.parametrize("error", [ValueError("hunter2"), TimeoutError("hunter2"), KeyError("hunter2")])
async def test_an_unforeseen_exception_tells_nothing(
    served: Served, plain_channel: grpc.aio.Channel, error: Exception
) -> None:
    served.behaviour.fail(error)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.StoreServiceStub(plain_channel).GetStore(ASKED)
    failure = caught.value
    assert (failure.code(), failure.details()) == (grpc.StatusCode.INTERNAL, OPAQUE)
    assert "hunter2" not in f"{failure!r}{failure.trailing_metadata()}{failure.debug_error_string()}"


async def test_an_unforeseen_exception_is_logged(served: Served) -> None:
    error = ValueError("hunter2")
    served.behaviour.fail(error)
    with pytest.raises(Internal):
        await served.stores.GetStore(ASKED)
    logged = [line for line in served.log_lines if line["event"] == "unhandled exception"]
    assert [line["exc_info"] for line in logged] == [error]
    assert logged[0]["request_id"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CreateStoreRequest(store_code="a b", store_name="A", pic_name="P"), "store_code"),
        (pb.CreateStoreRequest(store_code="a", store_name="", pic_name="P"), "store_name"),
        (pb.CreateStoreRequest(store_code="a", store_name="A", pic_name="x" * 256), "pic_name"),
        (pb.CreateStoreRequest(store_code="a", store_name="A", pic_name="P", team_id=-1), "team_id"),
    ],
)
async def test_validation_names_the_field(served: Served, request_: Any, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        await served.stores.CreateStore(request_)
    assert caught.value.field == field
    assert caught.value.message == f"{field} {caught.value.description}"


async def test_a_stream_is_validated_too(served: Served) -> None:
    with pytest.raises(InvalidField, match="run_id"):
        await anext(aiter(served.runs.WatchSync(pb.WatchSyncRequest(run_id="no uuid"))))


async def test_an_unknown_method_is_unimplemented(plain_channel: grpc.aio.Channel) -> None:
    nonsense: Any = plain_channel.unary_unary("/tokhub.sync.v1.StoreService/Nonsense")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await nonsense(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_method_is_named_to_a_caller_of_ours(served: Served) -> None:
    async with open_channel(served.target) as channel:
        unary: Any = channel.unary_unary("/tokhub.sync.v1.StoreService/Nonsense")
        stream: Any = channel.unary_stream("/tokhub.sync.v1.StoreService/Nonsense")
        with pytest.raises(ServerMisconfig, match="has no such method: run all services of the suite from one release"):
            await unary(b"")
        with pytest.raises(ServerMisconfig, match="has no such method"):
            await anext(aiter(stream(b"")))


async def test_a_method_that_is_declared_and_missing_is_named_too(served: Served) -> None:
    served.behaviour.fail(NotImplementedError("Method not implemented!"))
    with pytest.raises(ServerMisconfig, match="has no such method"):
        await served.stores.GetStore(ASKED)


async def test_an_oversize_message_is_turned_away(plain_channel: grpc.aio.Channel) -> None:
    request = pb.CreateStoreRequest(store_code="a", store_name="x" * (4 * 1024 * 1024 + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.StoreServiceStub(plain_channel).CreateStore(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_bytes_that_are_no_message_are_refused_in_our_own_words(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.target) as channel:
        call: Any = channel.unary_unary("/tokhub.sync.v1.StoreService/GetStore")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff")

    assert (caught.value.code(), "class" in str(caught.value.details())) == (grpc.StatusCode.INVALID_ARGUMENT, False)


@pytest.mark.parametrize("field", ["store_name", "pic_name", "pic_contact"])
async def test_a_nul_character_is_refused_before_it_reaches_the_database(served: Served, field: str) -> None:
    request = pb.CreateStoreRequest(store_code="a", store_name="a", pic_name="a")
    setattr(request, field, "a\0b")

    with pytest.raises(InvalidField, match=field):
        await served.stores.CreateStore(request)
