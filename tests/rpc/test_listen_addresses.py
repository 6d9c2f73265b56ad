"""Where a process may listen and call, with certificates and without."""

import pytest

from libs.rpc.listen import Listen, Target
from libs.rpc.settings import RpcSettings
from libs.settings import WrongSetting, parse

CERTIFIED = {"TLS_CA": "ca.pem", "TLS_CERT": "own.pem", "TLS_KEY": "own.key"}
ELSEWHERE = ["0.0.0.0:50051", "[::]:50051", "10.0.0.5:50051", "token.internal:50051", "128.0.0.1:50051", "127.1:50051"]


class Settings(RpcSettings):
    some_listen: Listen = "127.0.0.1:50051"
    some_target: Target = "127.0.0.1:50051"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "localhost:1", "unix:/run/token.sock"])
def test_this_machine_needs_no_certificates(address: str) -> None:
    assert parse(Settings, {"SOME_LISTEN": address, "SOME_TARGET": address}).some_listen == address


@pytest.mark.parametrize("variable", ["SOME_LISTEN", "SOME_TARGET"])
@pytest.mark.parametrize("address", ELSEWHERE)
def test_other_machines_need_certificates(variable: str, address: str) -> None:
    assert address in parse(Settings, {variable: address, **CERTIFIED}).model_dump().values()
    with pytest.raises(WrongSetting, match=f"{variable}: .*unless TLS_CA, TLS_CERT and TLS_KEY are set"):
        parse(Settings, {variable: address})


@pytest.mark.parametrize("address", ["50051", ":50051", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused_with_certificates_too(address: str) -> None:
    with pytest.raises(WrongSetting, match=r"SOME_LISTEN: .*must be host:port"):
        parse(Settings, {"SOME_LISTEN": address, **CERTIFIED})
