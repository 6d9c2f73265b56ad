"""Begins to tell of a process: traces first, so that log lines name them."""

from libs.logs import configure_logs
from libs.signal_settings import SignalSettings
from libs.tracing import configure_traces


def configure_signals(service: str, settings: SignalSettings) -> None:
    """Send log lines to stdout, and spans to where the settings say; ServerMisconfig."""
    configure_traces(service, settings.otel_exporter_otlp_endpoint)
    configure_logs(service, settings.log_level)
