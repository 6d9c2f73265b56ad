from urllib.parse import parse_qs, urlsplit

import httpx

from tests.cli.operator_seat import STORES, OperatorSeat


def test_every_store_stands_in_the_list_with_its_connection(seat: OperatorSeat) -> None:
    lines = [line.split() for line in seat.says("stores", "list").splitlines()]
    demo = {line[0]: "CONNECTED" in line for line in lines if line[0].startswith("store_")}
    assert demo == {f"store_{number:04}": True for number in range(1, STORES + 1)}


def test_programs_are_told_the_same_as_json(seat: OperatorSeat) -> None:
    code = seat.new_store()
    rows = {row["store"]["storeCode"]: row for row in seat.json("stores", "list")}
    assert rows["store_0001"]["connectionStatus"] == "CONNECTED"
    assert rows["store_0001"]["connection"]["owner"] == {"kind": "OWNER_KIND_STORE", "id": "store_0001"}
    assert (rows[code]["connectionStatus"], rows[code]["connection"]) == ("NOT_CONNECTED", None)


def test_a_link_connects_the_store_it_was_made_for(seat: OperatorSeat) -> None:
    code = seat.new_store()
    link = seat.json("stores", "connect-link", code)["url"]
    with httpx.Client() as browser:
        page = browser.get(link, headers={"Accept": "application/json"}).json()
        form = {"ticket": page["ticket"], "account": "store_0020", "scopes": page["scopes"], "decision": "authorize"}
        assert browser.post(page["consent_url"], data=form, follow_redirects=True).status_code == 200
    assert next(row for row in seat.json("stores", "list") if row["store"]["storeCode"] == code)[
        "connectionStatus"
    ] == ("CONNECTED")


def test_a_link_stands_whole_on_a_line_of_its_own(seat: OperatorSeat) -> None:
    said = seat.says("stores", "connect-link", seat.new_store(), "--product", "shop")
    link = said.splitlines()[1]
    assert urlsplit(link).path == "/open/authorize"
    assert parse_qs(urlsplit(link).query)["state"]


def test_what_is_refused_is_told_with_what_to_do(seat: OperatorSeat) -> None:
    again = seat.run("stores", "add", "store_0001", "--name", "Mine", "--pic", "Me")
    assert (again.returncode, again.stdout) == (3, "")
    assert "Store with this code already exists" in again.stderr
    assert "`tokhub stores list` shows it." in again.stderr
    assert "reason STORE_EXISTS, request " in again.stderr


def test_a_field_that_cannot_be_is_wrong_usage(seat: OperatorSeat) -> None:
    wrong = seat.run("stores", "add", "no spaces", "--name", "Mine", "--pic", "Me")
    assert wrong.returncode == 2
    assert "store_code must be 1-50 alphanumeric characters" in wrong.stderr


def test_a_service_that_is_away_is_told_as_such(seat: OperatorSeat) -> None:
    away = seat.run("stores", "list", SYNC_TARGET="127.0.0.1:1")
    assert away.returncode == 75
    assert "`tokhub doctor` says what is away." in away.stderr


def test_the_gateways_certificate_is_told_whose_is_needed(seat: OperatorSeat) -> None:
    tls = seat.home.state / "tls"
    names = {"TLS_CA": "ca.pem", "TLS_CERT": "gateway.pem", "TLS_KEY": "gateway.key"}
    refused = seat.run("vault", "verify", **{name: str(tls / file) for name, file in names.items()})
    assert refused.returncode == 3
    assert "svc/gateway may not call" in refused.stderr
    assert "certificate of an operator" in refused.stderr
