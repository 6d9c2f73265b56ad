import json
from pathlib import Path

from tests.cli.operator_seat import OperatorSeat
from tests.rpc.certified import Office


def test_a_good_suite_needs_nothing(seat: OperatorSeat) -> None:
    found = {one["what"]: one["level"] for one in seat.json("doctor")}
    looked_at = {"settings", "certificate", "authority", "token service", "sync service", "clock", "key ring"}
    assert {what: found[what] for what in looked_at} == dict.fromkeys(looked_at, "good")
    assert (found["journal"], found["TikTok"], found["schedule"]) == ("good", "good", "good")


def test_what_is_away_is_named_with_what_to_do(seat: OperatorSeat) -> None:
    ended = seat.run("doctor", TOKEN_TARGET="127.0.0.1:1", TIKTOK_API_BASE_URL="http://127.0.0.1:1")
    assert ended.returncode == 1
    assert "❌ token service does not answer at 127.0.0.1:1" in ended.stdout
    assert "or set TOKEN_TARGET" in ended.stdout
    assert "❌ TikTok        http://127.0.0.1:1 does not answer" in ended.stdout
    assert "✅ sync service" in ended.stdout


def test_settings_that_are_wrong_are_named(seat: OperatorSeat) -> None:
    ended = seat.run("doctor", TIKTOK_BASE_URL="https://example.com", TOKEN_ENC_KEY="0" * 64)
    assert ended.returncode == 1
    assert "TIKTOK_BASE_URL is set" in ended.stdout
    assert "❌ keys" in ended.stdout
    assert "0" * 64 not in ended.stdout


def test_a_certificate_that_ends_soon_or_is_a_services_is_told(seat: OperatorSeat, tmp_path: Path) -> None:
    files = Office(tmp_path / "office").files("svc/sync")
    given = {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}
    found = json.loads(seat.run("doctor", "--json", **given).stdout)
    told = {(one["what"], one["level"]) for one in found}
    assert ("certificate", "warning") in told
    assert ("certificate", "bad") in told
