from tests.sandbox.visitor import Visitor


async def statuses(visitor: Visitor, token: str, calls: int) -> list[int]:
    return [(await visitor.user(token)).status_code for _ in range(calls)]


async def test_the_601st_call_of_a_minute_is_refused(visitor: Visitor) -> None:
    token = (await visitor.connect())["access_token"]
    assert set(await statuses(visitor, token, 600)) == {200}
    answer = await visitor.user(token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "retry-after" not in answer.headers
    assert (await visitor.ledger())["rate_limited"] == 1


async def test_the_window_slides(visitor: Visitor) -> None:
    await visitor.switch(rate_limit=2)
    token = (await visitor.connect())["access_token"]
    await visitor.user(token)
    await visitor.advance(40)
    assert await statuses(visitor, token, 2) == [200, 429]
    await visitor.advance(21)
    assert await statuses(visitor, token, 2) == [200, 429]


async def test_endpoints_have_limits_of_their_own(visitor: Visitor) -> None:
    await visitor.switch(rate_limit=1)
    token = (await visitor.connect())["access_token"]
    assert await statuses(visitor, token, 2) == [200, 429]
    assert (await visitor.videos(token, {})).status_code == 200
    assert (await visitor.query_videos(token, ["1"])).status_code == 200


async def test_accounts_share_the_limit_unless_switched(visitor: Visitor) -> None:
    await visitor.switch(rate_limit=1)
    one, two = [(await visitor.connect(name))["access_token"] for name in ("store_0001", "store_0002")]
    assert await statuses(visitor, one, 1) + await statuses(visitor, two, 1) == [200, 429]
    await visitor.switch(rate_scope="account")
    assert await statuses(visitor, one, 1) + await statuses(visitor, two, 1) == [200, 200]


async def test_retry_after_can_be_switched_on(visitor: Visitor) -> None:
    await visitor.switch(rate_limit=1, rate_window_seconds=30, retry_after="present")
    token = (await visitor.connect())["access_token"]
    await visitor.user(token)
    assert 28 <= int((await visitor.user(token)).headers["retry-after"]) <= 30
