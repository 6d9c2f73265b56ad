from tests.cli.operator_seat import OperatorSeat


def test_a_connection_is_explained_by_any_of_its_names(seat: OperatorSeat) -> None:
    told = seat.json("connections", "explain", "store_0001")
    number, uuid = told["connection"]["number"], told["connection"]["id"]
    for name in (number, uuid, "store:store_0001"):
        assert seat.json("connections", "explain", name)["connection"]["id"] == uuid
    said = seat.says("connections", "explain", number)
    assert f"connection {number}, store_0001 (login-kit, ACTIVE), UUID {uuid}" in said
    assert "The access token works until" in said
    assert "CONNECTED" in said


def test_nobodys_connection_is_told_as_such(seat: OperatorSeat) -> None:
    for name in ("nobody", "999999", "00000000-0000-0000-0000-000000000000"):
        ended = seat.run("connections", "explain", name)
        assert (ended.returncode, ended.stdout) == (3, "")
        assert "reason CONNECTION_NOT_FOUND" in ended.stderr


def test_a_disconnect_asks_before_it_ends_anything(seat: OperatorSeat) -> None:
    _, (number,) = seat.team_of_shops(seat.new_seller())
    assert "Would be disconnected" in seat.says("connections", "disconnect", str(number), "--dry-run")
    assert seat.run("connections", "disconnect", str(number)).returncode == 1
    assert status_of(seat, number) == "CONNECTION_STATUS_ACTIVE"
    said = seat.says("connections", "disconnect", str(number), "--yes")
    assert "Only its seller can end the grant, in Seller Center." in said
    assert status_of(seat, number) == "CONNECTION_STATUS_DISCONNECTED"


def status_of(seat: OperatorSeat, number: int) -> str:
    return str(seat.json("connections", "explain", str(number))["connection"]["status"])


def test_the_list_can_be_narrowed(seat: OperatorSeat) -> None:
    seat.team_of_shops(seat.new_seller())
    shops = seat.json("connections", "list", "--product", "shop", "--status", "active")
    assert {one["provider"] for one in shops} == {"PROVIDER_TIKTOK_SHOP"}
    assert {one["status"] for one in shops} == {"CONNECTION_STATUS_ACTIVE"}
