from urllib.parse import quote

import httpx
import pytest

from tests.sandbox.visitor import CALLBACK, SCOPES, Visitor, query

DESKTOP = {"app_type": "desktop"}


async def test_a_plain_client_can_consent(visitor: Visitor) -> None:
    asked = (await visitor.ask(limit="2")).json()
    answer = await visitor.decide(asked["ticket"], account=asked["accounts"][1]["open_id"])
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?code=")
    assert query(answer).keys() == {"code", "scopes", "state"}
    assert (query(answer)["scopes"], query(answer)["state"]) == (",".join(SCOPES), "st-1")


async def test_the_description_pages_through_accounts(visitor: Visitor) -> None:
    first = (await visitor.ask(limit="30")).json()
    rest = (await visitor.ask(limit="30", offset=str(first["next_offset"]))).json()
    names = [a["username"] for a in first["accounts"] + rest["accounts"]]
    assert names == [f"store_{k:04d}" for k in range(1, 41)]
    assert (first["accounts_total"], rest["next_offset"]) == (40, None)


async def test_search_narrows_the_accounts(visitor: Visitor) -> None:
    asked = (await visitor.ask(q="STORE_0017")).json()
    assert [a["username"] for a in asked["accounts"]] == ["store_0017"]


async def test_a_login_hint_selects_the_account(visitor: Visitor) -> None:
    by_name = (await visitor.ask(login_hint="store_0033")).json()
    by_id = (await visitor.ask(login_hint=by_name["selected"])).json()
    assert by_name["selected"] == by_id["selected"] is not None
    assert "checked>" in (await visitor.ask(accept="text/html", login_hint="store_0033")).text


async def test_codes_need_percent_encoding(visitor: Visitor) -> None:
    answer = await visitor.decide((await visitor.ask()).json()["ticket"])
    code = query(answer)["code"]
    assert "*" in code
    assert "!" in code
    assert quote(code, safe="") in answer.headers["location"]


async def test_denial_goes_back_with_an_error(visitor: Visitor) -> None:
    answer = await visitor.decide((await visitor.ask(state="x y&z")).json()["ticket"], decision="deny")
    assert query(answer)["error"] == "access_denied"
    assert query(answer)["error_description"]
    assert query(answer)["state"] == "x y&z"
    assert "code" not in query(answer)


async def test_only_scopes_left_on_are_granted(visitor: Visitor) -> None:
    ticket = (await visitor.ask()).json()["ticket"]
    answer = await visitor.decide(ticket, scopes=["video.list", "user.info.basic", "video.publish"])
    assert query(answer)["scopes"] == "user.info.basic,video.list"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_key": "other"},
        {"client_key": None},
        {"redirect_uri": f"{CALLBACK}/"},
        {"redirect_uri": None},
        {"state": None},
        {"state": ""},
        {"code_challenge": "x", "code_challenge_method": "plain"},
    ],
)
async def test_a_bad_request_is_never_redirected(visitor: Visitor, changes: dict[str, str | None]) -> None:
    page = await visitor.ask("text/html", **changes)
    plain = await visitor.ask("application/json", **changes)
    assert (page.status_code, plain.status_code) == (400, 400)
    assert "log in with TikTok" in page.text
    assert plain.json()["error_description"]
    assert "location" not in page.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "user.info.basic video.list"}, "invalid_scope"),
        ({"scope": "user.info.basic,nonsense"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
async def test_what_the_app_must_mend_goes_back(visitor: Visitor, changes: dict[str, str], error: str) -> None:
    answer = await visitor.ask(**changes)
    assert answer.status_code == 302
    assert (query(answer)["error"], query(answer)["state"]) == (error, "st-1")


async def test_a_desktop_app_must_send_a_challenge(visitor: Visitor) -> None:
    await visitor.switch(**DESKTOP)
    assert (await visitor.ask()).status_code == 400
    assert (await visitor.ask(code_challenge="a" * 64, code_challenge_method="S256")).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"account": "nobody"}, {"scopes": []}, {"decision": "maybe"}, {"ticket": "made.up"}, {"ticket": "ä.ü"}]
)
async def test_a_senseless_decision_is_refused(visitor: Visitor, changes: dict[str, str]) -> None:
    form = {"ticket": (await visitor.ask()).json()["ticket"], **changes}
    answer = await visitor.decide(**form)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_consent_page_grows_old(visitor: Visitor) -> None:
    ticket = (await visitor.ask()).json()["ticket"]
    await visitor.advance(601)
    assert (await visitor.decide(ticket)).status_code == 400


async def test_the_page_runs_no_script(visitor: Visitor) -> None:
    page = await visitor.ask(accept="text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:3000" in policy
    assert "<script" not in page.text
    assert "style=" not in page.text


async def test_a_query_is_shown_as_text(visitor: Visitor) -> None:
    page = await visitor.ask(accept="text/html", q="<img src=x>")
    assert "<img" not in page.text
    assert "&lt;img src=x&gt;" in page.text


async def test_the_slash_at_the_end_is_optional_for_people(visitor: Visitor) -> None:
    url = httpx.URL("/v2/auth/authorize", params={"client_key": "none"})
    assert (await visitor.client.get(url)).status_code == 400
