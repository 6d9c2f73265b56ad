import asyncio
import re
import shutil
from pathlib import Path

import pytest

from sandbox.settings import PREFIX, Settings, Switches
from tests.sandbox.conftest import Launch
from tests.sandbox.guest import python_with_clients
from tests.sandbox.visitor import Visitor

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
NAMES = sorted((Settings.model_fields.keys() | Switches.model_fields.keys()) - {"switches"})


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_described(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in PAGE


async def test_every_control_route_is_described(visitor: Visitor) -> None:
    for route in (await visitor.client.get("/sandbox/")).json()["routes"]:
        assert f"`{route['method']} {route['path']}`" in PAGE


async def run_as_written(language: str, url: str, *command: str) -> str:
    """Run the page's examples in this language in one go, at this address."""
    code = "\n".join(re.findall(f"```{language}\n(.*?)```", PAGE, re.DOTALL)).replace("http://127.0.0.1:8400", url)
    process = await asyncio.create_subprocess_exec(*command, code, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode == 0
    return output.decode()


async def test_the_tour_in_curl_goes_as_told(launch: Launch) -> None:
    bash, curl = shutil.which("bash"), shutil.which("curl")
    assert bash, "bash is not installed: the tour of docs/sandbox.md is run with it"
    assert curl, "curl is not installed: the tour of docs/sandbox.md calls it"
    _, url = await launch()
    said = await run_as_written("sh", url, bash, "-euo", "pipefail", "-c")
    told = (
        '"display_name"',
        '"videos"',
        '"refresh_token"',
        "invalid_grant",
        "rate_limit_exceeded",
        "access_token_invalid",
    )
    places = [said.index(word) for word in told]
    assert places == sorted(places)


async def test_the_example_with_a_third_partys_client_lists_shops(launch: Launch) -> None:
    _, url = await launch()
    said = await run_as_written("python", url, python_with_clients(), "-c")
    assert len(said.splitlines()) == 3
