from pathlib import Path

import pytest

from sandbox.settings import PREFIX, Settings, Switches
from tests.sandbox.visitor import Visitor

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
NAMES = sorted((Settings.model_fields.keys() | Switches.model_fields.keys()) - {"switches"})


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_described(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in PAGE


async def test_every_control_route_is_described(visitor: Visitor) -> None:
    for route in (await visitor.client.get("/sandbox/")).json()["routes"]:
        assert f"`{route['method']} {route['path']}`" in PAGE
