import csv
import io

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import report_pb2

from libs.errors import InvalidField
from libs.spreadsheet import csv_text
from tests.gateway.served import ADMIN, READ, Gateway

GROWTH = "/admin/reports/growth"


async def test_growth_tells_unknown_from_zero(gateway: Gateway) -> None:
    gateway.suite.reports.growth.append(
        report_pb2.StoreGrowth(
            store_code="shop",
            store_name="Shop",
            first_date="2026-01-01",
            last_date="2026-01-31",
            days=30,
            follower_count=5000,
            followers_gained=0,
            likes_count=9,
        )
    )

    answer = await gateway.client.get(f"{GROWTH}?from=2026-01-01&to=2026-01-31", headers=READ)

    assert gateway.suite.reports.periods == [("2026-01-01", "2026-01-31")]
    assert answer.json() == {
        "success": True,
        "data": [
            {
                "storeCode": "shop",
                "storeName": "Shop",
                "firstDate": "2026-01-01",
                "lastDate": "2026-01-31",
                "days": 30,
                "followerCount": 5000,
                "followersGained": 0,
                "likesCount": 9,
                "likesGained": None,
                "videoCount": None,
                "videosGained": None,
            }
        ],
        "count": 1,
    }


@pytest.mark.parametrize("stores", [0, 1, 500, 501, 1200])
async def test_growth_of_many_stores_comes_whole(gateway: Gateway, stores: int) -> None:
    gateway.suite.reports.growth += [report_pb2.StoreGrowth(store_code=f"s{n}") for n in range(stores)]

    as_json = (await gateway.client.get(GROWTH, headers=READ)).json()
    as_csv = (await gateway.client.get(f"{GROWTH}?format=csv", headers=READ)).text

    codes = [f"s{n}" for n in range(stores)]
    assert ([row["storeCode"] for row in as_json["data"]], as_json["count"]) == (codes, stores)
    assert [row["storeCode"] for row in csv.DictReader(io.StringIO(as_csv, newline=""))] == codes


async def test_an_error_behind_the_first_page_is_seen(gateway: Gateway) -> None:
    gateway.suite.reports.growth += [report_pb2.StoreGrowth(store_code=f"s{n}") for n in range(501)]
    gateway.suite.reports.break_after = 1
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.get(f"{GROWTH}?format=csv", headers=READ)


async def test_a_report_as_csv_is_a_file_for_spreadsheets(gateway: Gateway) -> None:
    gateway.suite.reports.videos.append(
        report_pb2.TopVideo(
            store_code="shop",
            video_id="7",
            description='=HYPERLINK("x"),\nsecond "line"',
            post_time=Timestamp(seconds=0),
            first_date="2026-01-01",
            last_date="2026-01-02",
            view_count=20,
            views_gained=-30,
        )
    )

    answer = await gateway.client.get("/admin/reports/top-videos?format=csv&limit=3", headers=ADMIN)

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="top-videos.csv"'
    assert answer.text == (
        "storeCode,videoId,description,postedAt,firstDate,lastDate,viewCount,viewsGained,"
        "likeCount,commentCount,shareCount\r\n"
        'shop,7,"\'=HYPERLINK(""x""),\nsecond ""line""",1970-01-01T00:00:00.000Z,2026-01-01,2026-01-02,20,-30,,,\r\n'
    )


async def test_totals_come_by_day(gateway: Gateway) -> None:
    gateway.suite.reports.totals += [report_pb2.DailyTotals(snapshot_date="2026-01-01", stores=2, view_count=0)]
    (day,) = (await gateway.client.get("/admin/reports/daily-totals", headers=READ)).json()["data"]
    assert (day["snapshotDate"], day["stores"], day["viewCount"], day["followerCount"]) == ("2026-01-01", 2, 0, None)


async def test_completeness_names_the_missing(gateway: Gateway) -> None:
    missing = [
        report_pb2.Missing(reason="REAUTH_REQUIRED", stores=2, store_codes=["a", "b"]),
        report_pb2.Missing(reason="NOT_RUN", stores=1, store_codes=["c"]),
    ]
    gateway.suite.reports.days.append(
        report_pb2.Completeness(snapshot_date="2026-01-01", job="user", expected=10, done=7, missing=missing)
    )

    as_json = (await gateway.client.get("/admin/reports/completeness", headers=READ)).json()
    as_csv = (await gateway.client.get("/admin/reports/completeness?format=csv", headers=READ)).text

    (day,) = as_json["data"]
    assert (day["expected"], day["done"], day["missing"]) == (10, 7, 3)
    assert day["reasons"][0] == {"reason": "REAUTH_REQUIRED", "stores": 2, "storeCodes": ["a", "b"]}
    assert as_csv.splitlines()[1] == "2026-01-01,user,10,7,3,REAUTH_REQUIRED=2 NOT_RUN=1"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=yesterday", "from must be a day, YYYY-MM-DD"),
        ("to=2026-1-1", "to must be a day, YYYY-MM-DD"),
        ("format=xlsx", "format must be json or csv; an export may be parquet, too"),
        ("from=2026-01-01&from=2026-01-02", "from must be given once"),
        ("form=2026-01-01", "form is not a parameter of this request"),
    ],
)
async def test_a_wrong_parameter_is_named(gateway: Gateway, query: str, message: str) -> None:
    answer = await gateway.client.get(f"{GROWTH}?{query}", headers=READ)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


async def test_a_period_the_service_refuses_is_a_400(gateway: Gateway) -> None:
    gateway.suite.reports.script.fail_next = InvalidField("to", "must not be after today, 2026-01-01")
    answer = await gateway.client.get(f"{GROWTH}?to=2030-01-01", headers=READ)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "to must not be after today, 2026-01-01")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_is_never_a_formula(start: str) -> None:
    ((cell, number),) = csv.reader(io.StringIO(csv_text([[f"{start}1+1", -1]]), newline=""))
    assert (cell, number) == (f"'{start}1+1", "-1")
