from pathlib import Path

import pytest

from cli.settings import ClientSettings, environment
from libs.rpc.client_file import FILE, to_text
from libs.settings import WrongSetting, parse

LEFT = {"TOKEN_TARGET": "127.0.0.1:1111", "SYNC_TARGET": "127.0.0.1:2222"}
CERTIFICATE = {"TLS_CA": "/left/ca.pem", "TLS_CERT": "/left/operator.pem", "TLS_KEY": "/left/operator.key"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory in which a suite was started."""
    (tmp_path / ".tokhub").mkdir()
    (tmp_path / ".tokhub" / FILE).write_text(to_text({**LEFT, **CERTIFICATE}))
    return tmp_path


def test_what_a_suite_left_is_used_as_it_is(place: Path) -> None:
    settings = parse(ClientSettings, environment(place))
    assert (settings.token_target, settings.sync_target) == ("127.0.0.1:1111", "127.0.0.1:2222")
    assert settings.tls_cert == Path("/left/operator.pem")


def test_the_environment_stands_over_what_was_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / ".env").write_text("TOKEN_TARGET=127.0.0.1:3333\nSYNC_TARGET=127.0.0.1:4444\n")
    monkeypatch.setenv("SYNC_TARGET", "127.0.0.1:5555")
    settings = parse(ClientSettings, environment(place))
    assert (settings.token_target, settings.sync_target) == ("127.0.0.1:3333", "127.0.0.1:5555")


def test_a_given_certificate_is_not_mixed_with_one_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_CERT", "/mine/alice.pem")
    with pytest.raises(WrongSetting, match="set TLS_CA, TLS_CERT and TLS_KEY, or none of them"):
        parse(ClientSettings, environment(place))


def test_without_a_suite_nothing_but_this_machine_is_asked(tmp_path: Path) -> None:
    settings = parse(ClientSettings, environment(tmp_path))
    assert (settings.token_target, settings.tls_cert) == ("127.0.0.1:50051", None)


def test_a_file_that_cannot_be_read_is_named(place: Path) -> None:
    (place / ".tokhub" / FILE).write_text("{")
    with pytest.raises(WrongSetting, match=r"\.tokhub/client\.json cannot be read"):
        environment(place)
