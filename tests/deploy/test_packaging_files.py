"""What the packaging promises, read from its files."""

from pathlib import Path

import pytest

from tests.deploy.compose_file import Compose, seconds
from tests.deploy.conftest import ROOT
from tests.deploy.docker_image import ignore_rules

OURS = "tokhub:0.1.0"
# Seconds that a token service gives calls in flight before the time that it gives tokens.
FOR_CALLS = 10


@pytest.mark.parametrize("path", [".env", ".git/config", ".tokhub/secrets/TOKEN_ENC_KEY", "tests/conftest.py"])
def test_neither_secrets_nor_tools_get_near_the_image(path: str) -> None:
    assert ignore_rules(ROOT)(Path(path))


def test_a_token_service_has_the_time_it_asks_for(compose: Compose) -> None:
    for name in ("token-1", "token-2"):
        service = compose.services[name]
        asked = float(service["environment"]["STOP_GRACE_SECONDS"])
        assert seconds(service["stop_grace_period"]) > asked + FOR_CALLS


def test_our_containers_cannot_write_to_their_image(compose: Compose) -> None:
    ours = [service for service in compose.services.values() if service["image"] == OURS]
    assert len(ours) == 10
    for service in ours:
        assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
        assert service["deploy"]["resources"]["limits"]["memory"]


def test_replicas_keep_their_journals_apart(compose: Compose) -> None:
    kept = [compose.services[name]["volumes"][1] for name in ("token-1", "token-2", "sync-1", "sync-2")]
    assert len(set(kept)) == 4
