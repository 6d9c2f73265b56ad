"""docker-compose.yml as Compose reads it: variables put in, profiles chosen."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True, kw_only=True)
class Compose:
    """All services as the file describes them, and the names of those that a start has."""

    services: Mapping[str, dict[str, Any]]
    started: Sequence[str]

    def hosts(self) -> dict[str, list[str]]:
        """Return the services that each host name leads to."""
        found = {name: [name] for name in self.services}
        for name, service in self.services.items():
            networks = service.get("networks", [])
            settings = networks.values() if isinstance(networks, dict) else []
            for alias in {alias for network in settings for alias in network.get("aliases", [])}:
                found.setdefault(alias, []).append(name)
        return found


def read_compose(path: Path, env_file: Path) -> Compose:
    variables = {name: value or "" for name, value in dotenv_values(env_file, interpolate=False).items()}
    document = filled(yaml.safe_load(path.read_text(encoding="utf-8")), variables)
    profiles = {"", *variables.get("COMPOSE_PROFILES", "").split(",")}
    services = document["services"]
    started = [name for name, service in services.items() if not profiles.isdisjoint(service.get("profiles", [""]))]
    return Compose(services=services, started=started)


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """A part of the file with its variables put in; KeyError for one that has to be set and is not."""
    if isinstance(value, dict):
        return {key: filled(part, variables) for key, part in value.items() if not key.startswith("x-")}
    if isinstance(value, list):
        return [filled(part, variables) for part in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        return variables.get(name) or (default if operator == "-" else variables[name])

    return VARIABLE.sub(variable, value)


def seconds(text: str) -> float:
    """A duration as Compose writes it, in seconds."""
    return sum(float(number) * {"s": 1, "m": 60}[unit] for number, unit in re.findall(r"(\d+)([sm])", text))
