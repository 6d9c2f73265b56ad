"""What the packaging promises, read from its files."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from libs.settings import ServiceSettings, parse, variable_names
from services.gateway.settings import GatewaySettings
from services.sync.settings import SyncSettings
from services.token.settings import TokenSettings
from tests.deploy.compose_file import Compose, seconds
from tests.deploy.docker_image import ignore_rules
from tests.deploy.told import (
    NAMES,
    ROOT,
    Told,
    assigned,
    by_compose,
    by_kubernetes,
    by_systemd,
    manifests,
    pod,
)

OURS = "tokhub:0.1.0"
# Seconds that a token service gives calls in flight before the time that it gives tokens.
FOR_CALLS = 10
SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "token": TokenSettings,
    "sync": SyncSettings,
    "gateway": GatewaySettings,
}
# Variables of the probe, of Python and of OpenSSL.
OF_OTHERS = {"HEALTH_URL", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "SSL_CERT_FILE"}
EXAMPLES = {
    "ADMIN_API_KEYS": "",
    "AUDIT_KEYS": f"k1:{'0123456789abcdef' * 4}",
    "STATE_SECRETS_ACCEPTED": "",
    "TOKEN_ENC_KEYS": f"k1:{'0123456789abcdef' * 4}",
}


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


def test_whatever_a_service_is_told_is_a_setting(compose: Compose) -> None:
    known = {
        name for kind in SETTINGS.values() for field in kind.model_fields.items() for name in variable_names(*field)
    }
    for way in (by_compose(compose), by_kubernetes(), by_systemd()):
        for service, told in way:
            names = {name.removesuffix("_FILE") for name in told if name not in OF_OTHERS}
            assert names <= known, service


def test_every_way_tells_a_service_all_it_needs(compose: Compose, tmp_path: Path) -> None:
    for way in (by_compose(compose), by_kubernetes(), by_systemd()):
        for service, told in way:
            parse(SETTINGS[service], with_secrets(told, tmp_path))


def with_secrets(told: Told, directory: Path) -> Told:
    """The same with files that hold secrets such as there may be."""
    given = {}
    for name, value in told.items():
        given[name] = value
        if name.endswith("_FILE") and name not in OF_OTHERS:
            file = directory / name
            file.write_text(EXAMPLES.get(name.removesuffix("_FILE"), "as-long-as-a-secret-has-to-be-at-least"))
            given[name] = str(file)
    return given


def test_pods_have_the_time_their_service_asks_for() -> None:
    told = dict(by_kubernetes())["token"]
    assert pod("token")["terminationGracePeriodSeconds"] > float(told["STOP_GRACE_SECONDS"]) + FOR_CALLS


def test_units_have_the_time_their_service_asks_for() -> None:
    (patience,) = assigned(ROOT / "deploy/systemd/tokhub@.service", "TimeoutStopSec")
    assert float(patience) > float(dict(by_systemd())["token"]["STOP_GRACE_SECONDS"]) + FOR_CALLS


def test_a_replica_that_is_scheduled_again_finds_its_journal() -> None:
    told = dict(by_kubernetes())["token"]
    (container,) = pod("token")["containers"]
    (state,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "state"]
    assert Path(told["JOURNAL_DIR"]).is_relative_to(state)
    assert manifests("token")[0]["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "state"


def test_only_its_port_decides_whether_a_service_is_restarted() -> None:
    for name in NAMES:
        (container,) = pod(name)["containers"]
        assert "tcpSocket" in container["livenessProbe"]
