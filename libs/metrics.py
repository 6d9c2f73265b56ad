"""Prometheus metrics of one process, served on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server


@contextmanager
def serve_metrics(port: int, registry: CollectorRegistry) -> Iterator[None]:
    """Serve GET /metrics on 127.0.0.1 while the context is open; port 0 serves nothing."""
    if port == 0:
        yield
        return
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
