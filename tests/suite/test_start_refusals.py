import asyncio
import signal
import sys

import pytest

from deploy.local.settings import LocalSettings
from libs.settings import WrongSetting, parse
from tests.suite.local_suite import Home, start

HIDDEN = ("somebody", "hunter2")


async def refusal(home: Home, status: int, **settings: str) -> list[str]:
    """Return what a start says that is refused with this status."""
    async with start(home, STORES="0", **settings) as suite:
        assert await suite.ended() == status, "".join(suite.said)
    assert home.processes() == []
    return suite.said


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://somebody:hunter2@127.0.0.1:99999/tokhub",
        "postgresql://somebody:hunter2@127.0.0.1:0/tokhub",
        "postgresql://somebody:hunter2@127.0.0.1:port/tokhub",
        "postgresql://somebody:hunter2@[::1/tokhub",
        "mysql://somebody:hunter2@127.0.0.1/tokhub",
        "hunter2",
    ],
)
def test_an_address_that_cannot_be_is_refused_by_name(address: str) -> None:
    with pytest.raises(WrongSetting, match=r"^DATABASE_URL: ") as refused:
        parse(LocalSettings, {"DATABASE_URL": address})
    assert not any(word in str(refused.value) for word in HIDDEN)


def test_several_servers_and_ipv6_are_addresses() -> None:
    for hosts in ("[::1]", "[::1]:5432", "one:5432,two:5433", "one,two"):
        address = f"postgresql://somebody:hunter2@{hosts}/tokhub"
        settings = parse(LocalSettings, {"DATABASE_URL": address})
        assert settings.database_url is not None
        assert settings.database_url.reveal() == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://somebody:hunter2@127.0.0.1:99999/tokhub"),
        ("DATABASE_URL", "postgresql://somebody:hunter2@127.0.0.1/tokhub?sslmode=hunter2"),
        ("TOKHUB_STATE_DIR", "/proc/x"),
        ("TOKHUB_STATE_DIR", "/dev/null"),
        ("ADMIN_API_KEY_FILE", "/nonexistent"),
        ("TIKTOK_BASE_URL", "https://open-api.tiktokglobalshop.com"),
        ("TOKEN_ENC_KEYS_FILE", "/nonexistent"),
        ("TIKTOK_SHOP_APP_KEY", "6real"),
        ("TIKTOK_SHOP_SERVICE_ID", "7000000000000000001"),
    ],
)
async def test_a_wrong_setting_is_one_line_with_its_name(home: Home, name: str, value: str) -> None:
    said = await refusal(home, 78, **{name: value})
    assert len(said) == 1
    assert said[0].startswith(f"tokhub cannot start: {name}")
    assert not any(word in said[0] for word in HIDDEN)


async def test_a_database_that_does_not_serve_is_named(home: Home) -> None:
    port = home.ports["PORT"]
    said = await refusal(home, 1, DATABASE_URL=f"postgresql://somebody:hunter2@127.0.0.1:{port}/tokhub")
    assert f"The database at 127.0.0.1:{port} cannot be used: nothing listens there. Start it, or correct" in said[0]
    assert not any(word in "".join(said) for word in HIDDEN)


async def test_a_refused_password_is_told_from_a_closed_port(home: Home, database_dsn: str) -> None:
    server = database_dsn.rpartition("@")[2]
    said = await refusal(home, 1, DATABASE_URL=f"postgresql://tokhub:hunter2@{server}")
    assert f"at {server.partition('/')[0]} cannot be used: it refuses the user or the password" in said[0]
    assert "hunter2" not in "".join(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interruption_of_the_imports_is_one_line(home: Home, number: signal.Signals) -> None:
    interrupted = (
        "import os, runpy, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'deploy.local.start': os.kill(os.getpid(), {number:d})\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "runpy.run_module('deploy.local', run_name='__main__')\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", interrupted),
        cwd=home.path,
        env=home.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert said == b"Stopped before anything was started.\n"
    assert process.returncode == 130
