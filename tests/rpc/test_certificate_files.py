from datetime import timedelta
from pathlib import Path

import pytest

from libs.clock import SystemClock
from libs.errors import ServerMisconfig
from libs.rpc.settings import RpcSettings
from libs.rpc.tls import Certificates, Material, TlsFiles
from libs.settings import WrongSetting, parse
from tests.rpc.certified import DAY, ImpatientClock, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "office")


@pytest.fixture
def files(office: Office) -> TlsFiles:
    return office.files("svc/sync")


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_changed_files_are_read_again(office: Office, files: TlsFiles) -> None:
    certificates = Certificates(files, ImpatientClock())
    before = certificates.current()
    office.issue(files, "svc/sync")
    after = certificates.current()
    assert after.certificate == files.certificate.read_bytes() != before.certificate
    assert certificates.current() is after


def test_half_changed_files_change_nothing(office: Office, files: TlsFiles) -> None:
    certificates = Certificates(files, ImpatientClock())
    before, other = certificates.current(), office.files("svc/sync")
    replace(files.certificate, other.certificate.read_text())
    assert certificates.current() is before
    replace(files.key, other.key.read_text())
    assert certificates.current().key == other.key.read_bytes()


def test_a_missing_file_changes_nothing_until_it_is_back(files: TlsFiles) -> None:
    certificates = Certificates(files, ImpatientClock())
    before, text = certificates.current(), files.key.read_text()
    files.key.unlink()
    assert certificates.current() is before
    files.key.write_text(text)
    assert certificates.current() == before


def test_files_are_not_looked_at_for_every_call(office: Office, files: TlsFiles) -> None:
    certificates = Certificates(files, SystemClock())
    before = certificates.current()
    office.issue(files, "svc/sync")
    assert certificates.current() is before


@pytest.mark.parametrize("age", [2 * DAY, -DAY])
def test_a_start_with_a_certificate_out_of_its_time_is_refused(office: Office, age: timedelta) -> None:
    with pytest.raises(ServerMisconfig, match=r"TLS_CERT.*is valid from .* renew it"):
        Certificates(office.files("svc/sync", age=age), SystemClock())


def test_a_start_with_anothers_key_is_refused(office: Office, files: TlsFiles) -> None:
    with pytest.raises(ServerMisconfig, match=r"TLS_KEY.*is not the key of"):
        Certificates(
            TlsFiles(ca=files.ca, certificate=files.certificate, key=office.files("svc/sync").key), SystemClock()
        )


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_start_with_something_else_in_a_file_is_refused(files: TlsFiles, name: str) -> None:
    getattr(files, name).write_text("keep-this-out")
    with pytest.raises(ServerMisconfig, match=r"TLS_\w+: .* holds no") as caught:
        Certificates(files, SystemClock())
    assert "keep-this-out" not in str(caught.value)


def test_a_start_without_a_file_is_refused(files: TlsFiles) -> None:
    files.key.unlink()
    with pytest.raises(ServerMisconfig, match=f"TLS_KEY cannot be read: .*{files.key}"):
        Certificates(files, SystemClock())


def test_a_key_is_in_no_repr() -> None:
    assert "secret" not in repr(Material(ca=b"secret", certificate=b"secret", key=b"secret"))


def test_some_of_the_three_settings_are_refused(files: TlsFiles) -> None:
    environ = {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}
    assert parse(RpcSettings, environ).certificates(SystemClock())
    assert parse(RpcSettings, {}).certificates(SystemClock()) is None
    for name in environ:
        some = {other: value for other, value in environ.items() if other != name}
        with pytest.raises(WrongSetting, match=r"TLS_KEY: .*set TLS_CA, TLS_CERT and TLS_KEY, or none"):
            parse(RpcSettings, some)


def test_the_content_of_a_key_is_no_path_to_it(files: TlsFiles) -> None:
    with pytest.raises(WrongSetting, match="TLS_KEY: must be the path") as caught:
        parse(RpcSettings, {"TLS_KEY_FILE": str(files.key)})
    assert "PRIVATE" not in str(caught.value)
