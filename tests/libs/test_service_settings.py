import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pytest
from pydantic import AliasChoices, Field

from libs.secret import Secret
from libs.settings import ServiceSettings, WrongSetting, load, parse
from libs.tiktok.address import Url

CANARY = "CNRYsetting"
ROOT = Path(__file__).parents[2]


class Settings(ServiceSettings):
    database_url: Secret
    client_key: str = Field(min_length=1, max_length=20, validation_alias=AliasChoices("CLIENT_KEY", "CLIENT_ID"))
    pool_size: int = Field(default=20, ge=2, le=100)
    log_level: Literal["info", "warn"] = "info"
    api_url: Url = "https://open.tiktokapis.com"


NEEDED = ("DATABASE_URL", "TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET", "STATE_SECRET", "ADMIN_API_KEY")
ENOUGH = {"DATABASE_URL": "postgresql://localhost/t", "CLIENT_KEY": "awkey"}


def test_a_field_reads_the_variable_of_its_name() -> None:
    settings = parse(Settings, {**ENOUGH, "POOL_SIZE": "5"})
    assert (settings.client_key, settings.pool_size, settings.log_level) == ("awkey", 5, "info")
    assert settings.database_url.reveal() == "postgresql://localhost/t"


class Settled(Settings):
    foreign = MappingProxyType({"OLD_URL": "set API_URL instead"})


@pytest.mark.parametrize("name", ["OLD_URL", "OLD_URL_FILE"])
def test_a_name_of_another_system_is_refused_with_what_to_set_instead(name: str) -> None:
    with pytest.raises(WrongSetting, match=r"^OLD_URL is not read: set API_URL instead$"):
        parse(Settled, {**ENOUGH, name: "https://old.example"})


def test_a_name_of_another_system_that_is_empty_is_not_set() -> None:
    assert parse(Settled, {**ENOUGH, "OLD_URL": ""}).client_key == "awkey"


@pytest.mark.parametrize("name", ["DATABASE_URL", "CLIENT_KEY", "CLIENT_ID"])
def test_a_file_can_hold_the_value(tmp_path: Path, name: str) -> None:
    path = tmp_path / "value"
    path.write_text("from-a-file\n", encoding="utf-8")
    settings = parse(Settings, {"DATABASE_URL": "d", "CLIENT_ID": "c", name: "", f"{name}_FILE": str(path)})
    assert "from-a-file" in (settings.database_url.reveal(), settings.client_key)


def test_the_variable_itself_wins_over_the_file() -> None:
    assert parse(Settings, {**ENOUGH, "CLIENT_KEY_FILE": "/nowhere"}).client_key == "awkey"


@pytest.mark.parametrize("name", ["DATABASE_URL", "CLIENT_KEY", "CLIENT_ID"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    for path in ("/nowhere/at/all", str(tmp_path), str(tmp_path / "latin")):
        with pytest.raises(WrongSetting, match=f"^{name}_FILE cannot be read: .*{path}$"):
            parse(Settings, {f"{name}_FILE": path})


def test_an_alias_is_read_and_the_first_name_wins() -> None:
    assert parse(Settings, {"DATABASE_URL": "d", "CLIENT_ID": "old"}).client_key == "old"
    assert parse(Settings, {**ENOUGH, "CLIENT_ID": "old"}).client_key == "awkey"


def test_an_empty_variable_counts_as_missing() -> None:
    assert parse(Settings, {**ENOUGH, "POOL_SIZE": ""}).pool_size == 20


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"CLIENT_KEY": ""}, "CLIENT_KEY"),
        ({"CLIENT_KEY": f"{CANARY} {'x' * 20}"}, "CLIENT_KEY"),
        ({"CLIENT_KEY": "", "CLIENT_ID": f"{CANARY} {'x' * 20}"}, "CLIENT_ID"),
        ({"POOL_SIZE": CANARY}, "POOL_SIZE"),
        ({"POOL_SIZE": "1"}, "POOL_SIZE"),
        ({"LOG_LEVEL": CANARY}, "LOG_LEVEL"),
        ({"API_URL": f"https://user:{CANARY}@example.com"}, "API_URL"),
        ({"API_URL": f"http://{CANARY}.example.com"}, "API_URL"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(WrongSetting) as caught:
        parse(Settings, {**ENOUGH, **changes})
    assert str(caught.value).startswith(f"{variable}: ")
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_repr_of_settings_shows_no_secret() -> None:
    assert CANARY not in repr(parse(Settings, {**ENOUGH, "DATABASE_URL": CANARY}))


def test_a_wrong_start_is_status_78_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(Settings, {})
    assert caught.value.code == 78
    assert capsys.readouterr().err == "tokhub cannot start: DATABASE_URL: Field required\n"


@pytest.mark.parametrize("service", ["services.token", "services.sync", "services.gateway"])
def test_a_service_with_a_wrong_setting_names_it(service: str) -> None:
    environment = {"PATH": os.environ["PATH"], **dict.fromkeys(NEEDED, CANARY), "LOG_LEVEL": CANARY}
    command = (sys.executable, "-m", service)
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr.count("\n")) == (78, 1)
    assert ended.stderr.startswith("tokhub cannot start: ")
    assert CANARY not in ended.stdout + ended.stderr
