"""Sends spans to where OTEL_EXPORTER_OTLP_ENDPOINT says; imported only where requirements/tracing.txt is installed."""

from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EXPORT_TIMEOUT = 5.0  # seconds


def exporting(service: str, endpoint: str) -> TracerProvider:
    """Return what makes spans and sends them to the endpoint in the background."""
    resource = Resource.create({"service.name": f"tokhub-{service}", "service.version": version("tokhub")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_TIMEOUT)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
