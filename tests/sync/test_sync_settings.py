import pytest

from libs.settings import WrongSetting, parse
from services.sync.settings import SyncSettings

DATABASE = {"DATABASE_URL": "postgresql://u:CNRYpassword@localhost/d"}


def test_what_is_not_set_has_the_documented_value() -> None:
    settings = parse(SyncSettings, DATABASE)
    assert (settings.sync_concurrency, settings.video_sync_concurrency, settings.refresh_concurrency) == (30, 20, 20)
    assert (settings.tiktok_rate_limit_per_minute, settings.tz) == (600, "UTC")
    assert (settings.sync_listen, settings.token_target) == ("127.0.0.1:50052", "127.0.0.1:50051")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIKTOK_RATE_LIMIT_PER_MINUTE", "0"),
        ("SYNC_CONCURRENCY", "-3"),
        ("VIDEO_SYNC_CONCURRENCY", "many"),
        ("TIKTOK_API_BASE_URL", "http://tiktok.example"),
        ("TIKTOK_API_BASE_URL", "https://tiktok.example/v2"),
        ("TZ", "Mars/Olympus"),
        ("TZ", "../etc/passwd"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(WrongSetting, match=variable):
        parse(SyncSettings, {**DATABASE, variable: value})


def test_the_database_has_no_default() -> None:
    with pytest.raises(WrongSetting, match="DATABASE_URL"):
        parse(SyncSettings, {})
