from pathlib import Path

import pytest

from sandbox.settings import InvalidSettingError, load_settings


def test_switches_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_REDIRECT_URIS", "http://127.0.0.1:1/a, https://shop.example/b")
    monkeypatch.setenv("SANDBOX_REFRESH_ROTATION", "grace")
    monkeypatch.setenv("SANDBOX_PORT", "9000")
    settings = load_settings()
    assert settings.switches.redirect_uris == ("http://127.0.0.1:1/a", "https://shop.example/b")
    assert (settings.switches.refresh_rotation, settings.port) == ("grace", 9000)


def test_the_client_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("CNRYfromafile\n")
    monkeypatch.setenv("SANDBOX_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    settings = load_settings()
    assert settings.client_secret.get_secret_value() == "CNRYfromafile"
    assert "CNRYfromafile" not in repr(settings)


@pytest.mark.parametrize("name", ["SANDBOX_RATE_LIMIT", "SANDBOX_ACCOUNTS", "SANDBOX_LATENCY_JITTER"])
def test_a_wrong_value_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "CNRYoops")
    with pytest.raises(InvalidSettingError, match=f"^{name} does not fit") as caught:
        load_settings()
    assert "CNRY" not in str(caught.value)


@pytest.mark.parametrize("name", ["SANDBOX_CLIENT_SECRET", "SANDBOX_SHOP_APP_SECRET"])
def test_an_empty_secret_ends_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(InvalidSettingError, match=f"^{name} does not fit: it is empty"):
        load_settings()
