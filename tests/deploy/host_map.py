"""Where the containers' hosts, ports and paths are on this machine."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.compose_file import Compose
from tests.deploy.docker_image import Image
from tests.suite.local_suite import free_ports

HOST = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - what containers listen on
# In an address: a container's own names, others', and what browsers see of this machine.
INSIDE = re.compile(r"(?<![\w.])(0\.0\.0\.0|localhost|postgres|sandbox|127\.0\.0\.1):(\d+)")

# What differs from container to container, though the image is one.
VARIABLE_PLACE = re.compile(r"(?<![\w./-])/(?=(?:run/tokhub|var/lib/tokhub|tmp)\b)")


@dataclass(kw_only=True)
class HostMap:
    """Every container has an address of its own; published ports are at 127.0.0.1, as they are with Docker."""

    compose: Compose
    image: Image
    volumes: Path
    postgres_port: int
    name_server: int = 0
    addresses: dict[str, str] = field(init=False)
    ports: dict[str, dict[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
        services = self.compose.services.items()
        self.ports = {name: free_numbers(service) for name, service in services} | {
            "postgres": {"5432": self.postgres_port}
        }
        self.addresses = {
            name: HOST if "ports" in service or name == "postgres" else f"{network}.{number}"
            for number, (name, service) in enumerate(services, 1)
        }

    def names(self) -> dict[str, Sequence[str]]:
        """The addresses behind each host name."""
        return {host: [self.addresses[name] for name in names] for host, names in self.compose.hosts().items()}

    def published(self, port: int) -> int:
        """The port of this machine that stands for a published one."""
        for name, numbers in self.ports.items():
            for entry in self.compose.services[name].get("ports", ()):
                _, outside, inside = entry.split(":")
                if int(outside) == port:
                    return numbers[inside]
        raise LookupError(port)

    def view(self, name: str) -> Path:
        """The directory in which a container's paths that may be written to, or are volumes, begin."""
        return self.volumes / "views" / name

    def environment(self, name: str) -> dict[str, str]:
        """What a container's process is told, with the hosts, ports and paths of this machine."""
        told = self.compose.services[name].get("environment", {})
        mapped = {key: self._value(name, key, str(value)) for key, value in told.items()}
        return {**{key: self.text(name, value) for key, value in self.image.environment.items()}, **mapped}

    def text(self, name: str, value: str) -> str:
        """A text whose paths are those of this machine."""
        return self.image.within(VARIABLE_PLACE.sub(f"{self.view(name)}/", value))

    def _value(self, name: str, key: str, value: str) -> str:
        if key.endswith("PORT"):
            return str(self.ports.get(name, {}).get(value, value))
        if key.endswith("_TARGET"):
            return f"dns://{HOST}:{self.name_server}/{value}"
        if value == ANYWHERE:
            return self.addresses[name]
        return self.text(name, INSIDE.sub(lambda match: self._place(name, *match.groups()), value))

    def _place(self, name: str, host: str, port: str) -> str:
        if host == HOST:
            return f"{HOST}:{self.published(int(port))}"
        container = host if host in self.addresses else name
        return f"{self.addresses[container]}:{self.ports.get(container, {}).get(port, port)}"

    def lines(self) -> list[str]:
        """The map, to be printed."""
        hosts = [f"{name} is {address} {self.ports.get(name, '')}" for name, address in self.addresses.items()]
        return [*hosts, f"volumes are in {self.volumes}", f"the image is in {self.image.root}"]


def free_numbers(service: Mapping[str, Any]) -> dict[str, int]:
    """Free ports for what a container listens on at an address that others have too."""
    told: Mapping[str, str] = service.get("environment", {})
    shared = "PORT" if "ports" in service else "METRICS_PORT"
    numbers = [str(value) for key, value in told.items() if key.endswith(shared)]
    return dict(zip(numbers, free_ports(len(numbers)), strict=True))
