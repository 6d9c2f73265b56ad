import json

from tests.cli.operator_seat import STORES, OperatorSeat


def test_the_key_that_seals_is_shown_without_its_bytes(seat: OperatorSeat) -> None:
    said = seat.says("vault", "status")
    assert "seals" in next(line for line in said.splitlines() if line.startswith("default"))
    assert (seat.home.state / "secrets" / "TOKEN_ENC_KEY").read_text() not in said


def test_every_token_is_opened_and_counted(seat: OperatorSeat) -> None:
    summary = seat.json("vault", "verify")[-1]["summary"]
    assert int(summary["rows"]) >= STORES
    assert (summary["unreadableRows"], summary["unreadableJournalRecords"]) == ("0", "0")


def test_a_rotation_is_rehearsed_first(seat: OperatorSeat) -> None:
    assert seat.says("vault", "rotate", "--dry-run") == "Every row is sealed with default.\n"


def test_what_operators_did_is_listed(seat: OperatorSeat) -> None:
    code = seat.new_store()
    rows = seat.json("audit", "list", "--actor", "operator/local", "--service", "sync", "--limit", "1000")
    assert any(row["method"].endswith("/CreateStore") and code in row["requestJson"] for row in rows)
    said = seat.says("audit", "list", "--service", "sync")
    assert "operator/local" in said
    assert json.dumps("CNRY") not in said
