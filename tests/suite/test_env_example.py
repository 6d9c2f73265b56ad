import re
from pathlib import Path
from typing import Any

from deploy.local.settings import LocalSettings
from libs.settings import ServiceSettings, variable_names
from libs.tiktok.shop_environment import VARIABLE, ListedShop
from services.gateway.settings import GatewaySettings
from services.sync.settings import SyncSettings
from services.token.settings import TokenSettings

EXAMPLE = (Path(__file__).parents[2] / ".env.example").read_text()
ENTRY = re.compile(r"^# [A-Z0-9].*\n#([A-Z_0-9]+)=(.*)$", re.MULTILINE)
KINDS: tuple[type[ServiceSettings], ...] = (LocalSettings, TokenSettings, SyncSettings, GatewaySettings)


def defaults() -> dict[str, Any]:
    return {
        variable_names(name, field)[0]: field.default for kind in KINDS for name, field in kind.model_fields.items()
    }


def shown(default: bool | float | str) -> str:
    return f"{default:g}" if isinstance(default, bool | float) else str(default)


def test_the_example_lists_what_is_read_and_nothing_else() -> None:
    listed = {name for name, _ in ENTRY.findall(EXAMPLE)}
    of_a_shop = {name for name in listed if VARIABLE.fullmatch(name)}
    assert listed - of_a_shop == set(defaults())
    assert len(of_a_shop) == len(ListedShop.__dataclass_fields__) - 1  # all but its number, which is in each name


def test_every_entry_of_the_example_has_its_comment() -> None:
    assert len(ENTRY.findall(EXAMPLE)) == len(re.findall(r"^#[A-Z_0-9]+=", EXAMPLE, re.MULTILINE))


def test_the_example_shows_the_defaults() -> None:
    plain = {name: shown(value) for name, value in defaults().items() if isinstance(value, str | int | float)}
    written = dict(ENTRY.findall(EXAMPLE))
    assert {name: written[name] for name in plain} == plain
