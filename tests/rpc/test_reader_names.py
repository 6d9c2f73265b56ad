"""Who may be named in TOKEN_READERS."""

import pytest

from libs.rpc.readers import Readers
from libs.settings import ServiceSettings, WrongSetting, parse


class Settings(ServiceSettings):
    token_readers: Readers = ()


def test_several_services_may_read_tokens() -> None:
    assert list(parse(Settings, {"TOKEN_READERS": "reports, ads-2,"}).token_readers) == ["reports", "ads-2"]


@pytest.mark.parametrize("name", ["gateway", "reports,gateway", "operator", "ca", "../ca", "a/b", "Reports"])
def test_what_cannot_be_a_reader_is_refused(name: str) -> None:
    with pytest.raises(WrongSetting, match="TOKEN_READERS"):
        parse(Settings, {"TOKEN_READERS": name})
