import pytest

from sandbox.scopes import USER_FIELDS, VIDEO_FIELDS
from tests.sandbox.visitor import SCOPES, Visitor

ALL_USER = ",".join(USER_FIELDS)
ALL_VIDEO = ",".join(VIDEO_FIELDS)


async def busiest(visitor: Visitor) -> str:
    """Return the account with the most videos."""
    counts: dict[str, int] = {}
    for account in (await visitor.client.get("/sandbox/accounts")).json()["accounts"]:
        truth = (await visitor.client.get(f"/sandbox/truth/{account['open_id']}")).json()
        counts[account["open_id"]] = len(truth["videos"])
    return max(counts, key=lambda open_id: counts[open_id])


async def test_user_info_answers_the_fields_asked(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    body = (await visitor.user(tokens["access_token"], "follower_count,open_id")).json()
    assert body["data"]["user"].keys() == {"follower_count", "open_id"}
    assert body["data"]["user"]["open_id"] == tokens["open_id"]
    assert body["error"]["code"] == "ok"
    assert body["error"].keys() == {"code", "message", "log_id"}


async def test_pages_add_up_to_the_truth(visitor: Visitor) -> None:
    name = await busiest(visitor)
    tokens = await visitor.connect(name)
    truth = (await visitor.client.get(f"/sandbox/truth/{name}")).json()
    rows, pages = await visitor.all_videos(tokens["access_token"], ALL_VIDEO)
    assert rows == truth["videos"]
    assert pages == -(-len(rows) // 20) > 1
    assert (await visitor.user(tokens["access_token"], ALL_USER)).json()["data"]["user"] == truth["user"]
    assert truth["user"]["video_count"] == len(rows)
    assert (await visitor.ledger())["pages"] == pages


async def test_the_cursor_is_milliseconds_and_exclusive(visitor: Visitor) -> None:
    tokens = await visitor.connect(await busiest(visitor))
    first = (await visitor.videos(tokens["access_token"], {})).json()["data"]
    assert len(first["videos"]) == 10
    assert first["cursor"] == first["videos"][-1]["create_time"] * 1000
    third = first["videos"][2]["create_time"] * 1000
    after = (await visitor.videos(tokens["access_token"], {"cursor": third, "max_count": 2})).json()["data"]
    assert after["videos"] == first["videos"][3:5]
    assert after["has_more"] is True


async def test_an_account_without_videos_has_one_empty_page(visitor: Visitor) -> None:
    lines = (await visitor.client.get("/sandbox/truth")).text.splitlines()
    empty = next(line for line in lines if '"videos": []' in line)
    tokens = await visitor.connect(empty.split('"')[3])
    assert await visitor.all_videos(tokens["access_token"], "id") == ([], 1)


async def test_query_leaves_out_videos_of_others(visitor: Visitor) -> None:
    tokens = await visitor.connect(await busiest(visitor))
    own = (await visitor.videos(tokens["access_token"], {"max_count": 2})).json()["data"]["videos"]
    answer = await visitor.query_videos(tokens["access_token"], [own[1]["id"], "7000000000000000000"])
    assert [video["id"] for video in answer.json()["data"]["videos"]] == [own[1]["id"]]


@pytest.mark.parametrize("ids", [[], [str(n) for n in range(21)]])
async def test_query_takes_one_to_twenty_ids(visitor: Visitor, ids: list[str]) -> None:
    tokens = await visitor.connect()
    answer = await visitor.query_videos(tokens["access_token"], ids)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_params")


@pytest.mark.parametrize(
    "body", [{"max_count": 21}, {"max_count": 0}, {"max_count": "5"}, {"cursor": -1}, {"cursor": "x"}, {"cursor": 1.5}]
)
async def test_list_refuses_parameters_that_do_not_fit(visitor: Visitor, body: dict[str, object]) -> None:
    tokens = await visitor.connect()
    answer = await visitor.videos(tokens["access_token"], body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_params")
    assert answer.json()["data"] == {}


@pytest.mark.parametrize("fields", ["", "open_id,profile_web_link", "open_id display_name"])
async def test_fields_must_be_named_and_known(visitor: Visitor, fields: str) -> None:
    tokens = await visitor.connect()
    answer = await visitor.user(tokens["access_token"], fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_params")


@pytest.mark.parametrize(("code", "status"), [("scope_not_authorized", 401), ("scope_permission_missed", 400)])
async def test_scopes_are_enforced(visitor: Visitor, code: str, status: int) -> None:
    await visitor.switch(display_missing_scope=code)
    tokens = await visitor.connect(scopes=("user.info.basic",))
    user = await visitor.user(tokens["access_token"], "open_id,follower_count")
    videos = await visitor.videos(tokens["access_token"], {})
    assert [(a.status_code, a.json()["error"]["code"]) for a in (user, videos)] == [(status, code)] * 2
    assert (await visitor.user(tokens["access_token"], "open_id")).status_code == 200


async def test_errors_can_hide_behind_200(visitor: Visitor) -> None:
    await visitor.switch(display_error_status="200")
    answer = await visitor.user("act.nonsense")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, "access_token_invalid")


async def test_no_token_is_an_invalid_token(visitor: Visitor) -> None:
    answer = await visitor.client.get("/v2/user/info/", params={"fields": "open_id"})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The access token is invalid or not found in the request."


async def test_a_list_without_a_body_is_a_first_page(visitor: Visitor) -> None:
    tokens = await visitor.connect(scopes=SCOPES)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await visitor.client.post("/v2/video/list/?fields=id", headers=headers)
    broken = await visitor.client.post("/v2/video/list/?fields=id", headers=headers, content=b"{")
    assert (answer.status_code, broken.status_code) == (200, 400)
