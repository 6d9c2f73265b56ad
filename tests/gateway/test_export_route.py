import asyncio

import httpx
import pytest
from tokhub.sync.v1 import export_pb2

from libs.errors import InvalidField, StorageUnavailable
from tests.gateway.raw_http import exchange
from tests.gateway.served import READ, READ_KEY, Gateway

EXPORT = "/admin/export?dataset=video_daily"


@pytest.mark.parametrize(
    ("name", "wire", "media_type", "file"),
    [
        ("csv", export_pb2.EXPORT_FORMAT_CSV, "text/csv; charset=utf-8", "video_daily.csv"),
        ("json", export_pb2.EXPORT_FORMAT_JSON, "application/x-ndjson", "video_daily.ndjson"),
        ("parquet", export_pb2.EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet", "video_daily.parquet"),
    ],
)
async def test_an_export_is_handed_on_as_it_comes(
    gateway: Gateway, name: str, wire: int, media_type: str, file: str
) -> None:
    gateway.suite.stats.export_parts = [b"one\x00", b"two"]

    answer = await gateway.client.get(f"{EXPORT}&format={name}&from=2026-01-01&to=2026-01-31", headers=READ)

    (asked,) = gateway.suite.stats.exports_asked
    assert (asked.dataset, asked.format) == (export_pb2.DATASET_VIDEO_DAILY, wire)
    assert (asked.period.from_date, asked.period.to_date) == ("2026-01-01", "2026-01-31")
    assert (answer.status_code, answer.content) == (200, b"one\x00two")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="{file}"'


async def test_an_export_without_a_row_is_an_empty_file(gateway: Gateway) -> None:
    gateway.suite.stats.export_parts = []

    answer = await gateway.client.get(f"{EXPORT}&format=json", headers=READ)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_export_that_breaks_in_the_middle_is_cut_off(gateway: Gateway) -> None:
    gateway.suite.stats.export_parts = [b"half"]
    gateway.suite.stats.export_fails = StorageUnavailable()
    gateway.suite.stats.export_may_end.clear()
    async with gateway.client.stream("GET", EXPORT, headers=READ) as answer:
        parts = answer.aiter_raw()
        first = await anext(parts)
        gateway.suite.stats.export_may_end.set()

        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await anext(parts)

    assert (answer.status_code, first) == (200, b"half")


async def test_an_export_that_cannot_begin_is_refused_in_words(gateway: Gateway) -> None:
    gateway.suite.stats.export_parts = []
    gateway.suite.stats.export_fails = StorageUnavailable("2 exports are being made", retry_after=15)

    answer = await gateway.client.get(EXPORT, headers=READ)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    assert answer.json()["error"] == {"code": "STORAGE_UNAVAILABLE", "message": "2 exports are being made"}


@pytest.mark.parametrize("sent", [[], [b"first"]])
async def test_a_client_that_leaves_ends_the_export(gateway: Gateway, sent: list[bytes]) -> None:
    stats = gateway.suite.stats
    stats.export_parts = sent
    stats.export_may_end.clear()
    reading = asyncio.create_task(gateway.client.get(EXPORT, headers=READ))
    async with asyncio.timeout(10):
        await stats.export_begun.wait()
        reading.cancel()

        await stats.export_left.wait()


async def test_a_period_that_the_service_refuses_is_a_400(gateway: Gateway) -> None:
    gateway.suite.stats.export_parts = []
    gateway.suite.stats.export_fails = InvalidField("to", "must not be after today, 2026-01-01")

    answer = await gateway.client.get(f"{EXPORT}&to=2030-01-01", headers=READ)

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "to must not be after today, 2026-01-01")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "dataset must be one of user_daily, video_daily"),
        ("?dataset=tokens", "dataset must be one of user_daily, video_daily"),
        ("?dataset=user_daily&format=xlsx", "format must be json or csv; an export may be parquet, too"),
        ("?dataset=user_daily&from=yesterday", "from must be a day, YYYY-MM-DD"),
    ],
)
async def test_a_wrong_order_of_a_file_is_refused(gateway: Gateway, query: str, message: str) -> None:
    answer = await gateway.client.get(f"/admin/export{query}", headers=READ)

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert not gateway.suite.stats.exports_asked


async def test_a_client_that_could_not_see_a_break_is_refused(gateway: Gateway) -> None:
    asked = f"GET {EXPORT} HTTP/1.0\r\nHost: gateway\r\nX-API-KEY: {READ_KEY}\r\n\r\n"

    answer = await exchange(gateway.port, asked.encode())

    assert (answer.status, "must be 1.1" in answer.json()["error"]["message"]) == (400, True)
