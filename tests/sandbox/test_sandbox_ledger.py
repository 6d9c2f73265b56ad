from sandbox.ledger import Event, Ledger
from tests.sandbox.visitor import Visitor


def test_counters_outlive_the_ring() -> None:
    ledger = Ledger(now=lambda: 0.0, keep=100)
    for number in range(50_000):
        ledger.record(Event("called", "user_info", "ok", open_id=f"o{number % 7}"))
    assert ledger.summary()["calls"] == {"user_info": 50_000}
    assert ledger.summary()["events"] == 50_000
    kept = ledger.events(after=0, limit=1_000, open_id=None)
    assert (len(kept), kept[0]["sequence"], kept[-1]["sequence"]) == (100, 49_901, 50_000)


async def test_every_token_is_written_down(visitor: Visitor) -> None:
    first = await visitor.connect("store_0003")
    second = await visitor.refresh(first["refresh_token"])
    await visitor.user(second["access_token"])
    events = (await visitor.ledger("/events"))["events"]
    told = [(e["kind"], e["what"], e["outcome"], e["generation"]) for e in events if e["kind"] != "called"]
    assert told == [
        ("minted", "code", "ok", 0),
        ("presented", "code", "exchanged", 0),
        ("minted", "access", "ok", 1),
        ("minted", "refresh", "ok", 1),
        ("presented", "refresh", "rotated", 1),
        ("minted", "access", "ok", 2),
        ("minted", "refresh", "ok", 2),
        ("presented", "access", "accepted", 2),
    ]
    assert {e["open_id"] for e in events} == {first["open_id"]}
    assert second["refresh_token"] in [e["token"] for e in events]


async def test_events_are_read_page_by_page(visitor: Visitor) -> None:
    await visitor.connect("store_0001")
    await visitor.connect("store_0002")
    first = await visitor.ledger("/events?limit=3")
    rest = await visitor.ledger(f"/events?after={first['next_after']}")
    sequences = [e["sequence"] for e in first["events"] + rest["events"]]
    assert sequences == list(range(1, len(sequences) + 1))
    other = (await visitor.client.get("/sandbox/accounts?q=store_0002")).json()["accounts"][0]["open_id"]
    mine = (await visitor.ledger(f"/events?open_id={other}"))["events"]
    assert {e["open_id"] for e in mine} == {other}


async def test_an_account_shows_its_grants(visitor: Visitor) -> None:
    first = await visitor.connect("store_0004")
    second = await visitor.refresh(first["refresh_token"])
    other = await visitor.connect("store_0004")
    await visitor.revoke(other["access_token"])
    grants = (await visitor.ledger("/accounts/store_0004"))["grants"]
    assert [grant["live_refresh_token"] for grant in grants] == [second["refresh_token"], None]
    assert [grant["refreshes"] for grant in grants] == [1, 0]
    assert grants[1]["revoked"] == "revoked by the developer"
    assert (await visitor.ledger())["refreshes_per_grant"] == {grants[0]["id"]: 1}


async def test_refusals_have_their_reasons(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.user("act.unheard-of")
    await visitor.advance(7201)
    await visitor.user(tokens["access_token"])
    counters = (await visitor.ledger())["counters"]
    assert counters["presented.access.unknown"] == 1
    assert counters["presented.access.expired"] == 1
    assert counters["called.user_info.access_token_invalid"] == 2


async def test_a_reset_forgets_everything(visitor: Visitor) -> None:
    await visitor.connect()
    assert (await visitor.client.delete("/sandbox/ledger")).status_code == 204
    assert (await visitor.ledger())["events"] == 0
    assert (await visitor.ledger())["counters"] == {}


async def test_one_more_try_is_told_from_reuse(visitor: Visitor) -> None:
    retried, reused = await visitor.connect("store_0001"), await visitor.connect("store_0002")
    for tokens, times in ((retried, 2), (reused, 5)):
        for _ in range(times):
            await visitor.refresh(tokens["refresh_token"])
    assert (await visitor.ledger())["dead_tokens"] == {
        "refresh_tokens": 2,
        "presented_once": 1,
        "presented_twice": 0,
        "presented_more": 1,
        "most": 4,
    }
    assert [dead["presented"] for dead in (await visitor.ledger("/dead"))["tokens"]] == [4, 1]
