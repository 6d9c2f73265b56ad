"""Traces of what crosses the services, by OpenTelemetry; without an endpoint to send them to there are none.

A span says which method, route or path, how it ended and for which request id: never a query, a header or a body.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.errors import ServerMisconfig, TokhubError

# Of the W3C: which trace, which span of it, and whether anybody looks.
PROPAGATOR = TraceContextTextMapPropagator()
NO_SPAN = nullcontext()


def configure_traces(service: str, endpoint: str | None) -> None:
    """Send spans to the endpoint from now on, in the background; ServerMisconfig without the packages for it."""
    if endpoint is None:
        return
    try:
        from libs.span_export import exporting  # noqa: PLC0415 - its packages are optional
    except ImportError:
        raise ServerMisconfig(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs packages: install them with "
            "`pip install --require-hashes -r requirements/tracing.txt`."
        ) from None
    trace.set_tracer_provider(exporting(service, endpoint))


@cache
def is_tracing() -> bool:
    """Return whether there are traces; ask once the process has been configured, which settles it."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def tracer() -> Tracer:
    """Return what makes spans."""
    return trace.get_tracer("tokhub")


def carried() -> dict[str, str]:
    """Return what carries the present span to another process; nothing when there is none."""
    carrier: dict[str, str] = {}
    if is_tracing():
        PROPAGATOR.inject(carrier)
    return carrier


def carried_on(carrier: Mapping[str, str]) -> dict[str, str]:
    """Return of what somebody carried here that which carries the same span on."""
    return {name: carrier[name] for name in PROPAGATOR.fields if name in carrier}


def carrier_in(carrier: Mapping[str, str]) -> Context:
    """Return the context that somebody carried here, an empty one for none."""
    return PROPAGATOR.extract(carrier, context=Context())


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, context: Context | None = None
) -> AbstractContextManager[Span | None]:
    """Return a span, the present one while it is open; None without traces. An error's text is left out of it."""
    return opened_span(name, kind, context) if is_tracing() else NO_SPAN


@contextmanager
def opened_span(name: str, kind: SpanKind, context: Context | None) -> Iterator[Span]:
    """Yield a span that tells how the body ended."""
    with tracer().start_as_current_span(
        name, context=context, kind=kind, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except Exception as error:
            reason = error.reason.value if isinstance(error, TokhubError) else type(error).__name__
            opened.set_attribute("error.type", reason)
            opened.set_status(trace.StatusCode.ERROR)
            raise


def trace_id() -> str:
    """Return the id of the present trace, empty without one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
