import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from libs.metrics import serve_metrics


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("stores", "Stores.", registry=registry).inc(3)
    return registry


def test_metrics_are_served_while_the_context_is_open(registry: CollectorRegistry, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/metrics"
    with serve_metrics("127.0.0.1", free_port, registry):
        assert "stores_total 3.0" in httpx.get(url, trust_env=False).text
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_metrics_are_for_this_machine_only(registry: CollectorRegistry, free_port: int) -> None:
    with serve_metrics("127.0.0.1", free_port, registry), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", free_port), timeout=2)


def test_port_0_serves_nothing(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.metrics.start_http_server", None)
    with serve_metrics("127.0.0.1", 0, registry):
        pass


def test_the_server_stops_when_the_body_fails(registry: CollectorRegistry, free_port: int) -> None:
    with pytest.raises(ZeroDivisionError), serve_metrics("127.0.0.1", free_port, registry):
        raise ZeroDivisionError
    with socket.create_server(("127.0.0.1", free_port)):
        pass
