import pytest

from libs.audit.settings import RecordingSettings
from libs.settings import WrongSetting, parse

CERTIFIED = {"TLS_CA": "ca.pem", "TLS_CERT": "own.pem", "TLS_KEY": "own.key"}
OLD, NEW = bytes(range(32)).hex(), bytes(range(32, 64)).hex()


def test_calls_are_not_recorded_without_a_key() -> None:
    assert parse(RecordingSettings, {}).audit_keys is None
    with pytest.raises(WrongSetting, match=r"^AUDIT_KEYS: .*must be set where TLS_CERT is.*openssl rand -hex 32"):
        parse(RecordingSettings, CERTIFIED)
    assert parse(RecordingSettings, CERTIFIED | {"AUDIT_KEYS": f"a1:{OLD}"}).audit_keys


@pytest.mark.parametrize("keys", [OLD, "a1:beef", f"a1:{'0' * 64}", f"a1:{OLD},a1:{NEW}", f"a1:{OLD},a2:{OLD}"])
def test_keys_that_cannot_seal_are_refused_and_not_repeated(keys: str) -> None:
    with pytest.raises(WrongSetting, match=r"^AUDIT_KEYS: ") as refused:
        parse(RecordingSettings, {"AUDIT_KEYS": keys})
    assert keys not in str(refused.value)
