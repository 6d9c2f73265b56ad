import asyncio
import json
import re

import asyncpg

from tests.cli.operator_seat import OperatorSeat

WHEN = r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d UTC"


async def end_soon(dsn: str, *numbers: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "UPDATE credentials.connections SET received_at = now() - interval '6 days',"
            " access_expires_at = now() + interval '1 hour' WHERE number = ANY($1::bigint[])",
            numbers,
        )
    finally:
        await connection.close()


def test_shops_are_told_and_counted_as_they_came_out(seat: OperatorSeat) -> None:
    sellers = [seat.new_seller() for _ in range(3)]
    team, (due, fresh, dead) = seat.team_of_shops(*sellers)
    asyncio.run(end_soon(seat.home.admin_dsn, due, dead))
    seat.sandbox.post(f"/sandbox/sellers/{sellers[2]}/revoke", json={"webhook": False}).raise_for_status()
    ended = seat.run("refresh-tokens", "--team-id", str(team))
    assert ended.returncode == 1
    said = ended.stdout.splitlines()
    assert said[:4] == ["🔄 Refreshing TikTok Shop tokens...", "📊 Found 3 integration(s)", "", "📋 Details:"]
    assert re.fullmatch(rf"   ✅ Integration {due} \(Team {team}\): refreshed - expires {WHEN}", said[4])
    assert re.fullmatch(
        rf"   ⏭️  Integration {fresh} \(Team {team}\): skipped - \d+\.\d hours are left of the token", said[5]
    )
    assert re.fullmatch(rf"   ❌ Integration {dead} \(Team {team}\): failed - .*connected? .*again.*", said[6])
    assert said[7:] == ["", "📈 Summary:", "   ✅ Refreshed: 1", "   ⏭️  Skipped: 1", "   ❌ Failed: 1"]


def test_a_dry_run_refreshes_nothing(seat: OperatorSeat) -> None:
    team, (due,) = seat.team_of_shops(seat.new_seller())
    asyncio.run(end_soon(seat.home.admin_dsn, due))
    for _ in range(2):
        said = seat.says("refresh-tokens", "--team-id", str(team), "--dry-run")
        assert f"Integration {due} (Team {team}): would be refreshed - 1.0 hours are left" in said
        assert "   ✅ Would refresh: 1" in said.splitlines()


def test_force_takes_in_what_is_not_due(seat: OperatorSeat) -> None:
    team, _ = seat.team_of_shops(seat.new_seller(), seat.new_seller())
    counts = [
        json.loads(seat.says("refresh-tokens", "--team-id", str(team), *more, "--json"))["summary"]
        for more in ((), ("--force",))
    ]
    assert [(count["refreshed"], count["skipped"], count["failed"]) for count in counts] == [
        ("0", "2", "0"),
        ("2", "0", "0"),
    ]


def test_an_old_list_of_tokens_changes_nothing(seat: OperatorSeat) -> None:
    listed = seat.listed_shop(seat.new_seller())
    assert "would be" not in seat.says("db", "populate", "--dry-run", **listed)
    outcomes = [json.loads(seat.says("db", "populate", "--json", **listed))[0]["outcome"] for _ in range(2)]
    assert outcomes == ["IMPORT_OUTCOME_IMPORTED", "IMPORT_OUTCOME_ALREADY_KNOWN"]


def test_a_list_may_point_to_files(seat: OperatorSeat) -> None:
    files = {}
    for name, value in seat.listed_shop(seat.new_seller()).items():
        path = seat.home.path / name
        path.write_text(value)
        files[f"{name}_FILE"] = str(path)
    assert "IMPORTED" in seat.says("db", "populate", **files)
