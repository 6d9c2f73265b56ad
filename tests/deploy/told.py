"""What each way of deploying tells a service by its environment."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import Compose

ROOT = Path(__file__).parents[2]
NAMES = ("token", "sync", "gateway")

Told = Mapping[str, str]


def by_compose(compose: Compose) -> Iterator[tuple[str, Told]]:
    for name in NAMES:
        yield name, compose.services[f"{name}-1"]["environment"]


def manifests(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "deploy/kubernetes" / f"{name}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def pod(name: str) -> dict[str, Any]:
    """The pods of a service."""
    found: dict[str, Any] = manifests(name)[0]["spec"]["template"]["spec"]
    return found


def by_kubernetes() -> Iterator[tuple[str, Told]]:
    (settings,) = manifests("settings")
    for name in NAMES:
        (container,) = pod(name)["containers"]
        yield name, settings["data"] | {entry["name"]: entry["value"] for entry in container["env"]}


def by_systemd() -> Iterator[tuple[str, Told]]:
    directory = ROOT / "deploy/systemd"
    for name in NAMES:
        text = (directory / "tokhub.env").read_text(encoding="utf-8")
        for unit in (directory / "tokhub@.service", directory / f"tokhub@{name}.service.d" / f"{name}.conf"):
            text += "".join(f"\n{entry}" for line in assigned(unit, "Environment") for entry in shlex.split(line))
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        yield name, dict(line.split("=", 1) for line in lines)


def assigned(unit: Path, key: str) -> list[str]:
    """What a unit's file says of a key."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
