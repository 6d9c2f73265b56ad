import asyncio

import asyncpg

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


async def test_a_row_that_was_edited_is_found(seat: OperatorSeat) -> None:
    seat.new_store()
    assert "The trail of the sync service is whole" in seat.says("audit", "verify")
    edit = "UPDATE reporting.audit_calls SET actor = $1 WHERE sequence = 2"
    connection = await asyncpg.connect(seat.home.admin_dsn)
    try:
        await connection.execute("SET session_replication_role = replica")  # no trigger refuses it
        actor = await connection.fetchval("SELECT actor FROM reporting.audit_calls WHERE sequence = 2")
        await connection.execute(edit, "operator/mallory")
        ended = await asyncio.to_thread(seat.run, "audit", "verify", "--service", "sync")
        await connection.execute(edit, actor)
    finally:
        await connection.close()
    assert ended.returncode == 1
    assert "The trail of the sync service is broken at row 2: EDITED" in ended.stdout
