"""Traces by OpenTelemetry's SDK; the only module that knows it. `nettrace.runtime.telemetry` loads it when asked for."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from nettrace import __version__
from nettrace.runtime.telemetry import HEADER, Span, Tracing


class Traced(Tracing):
    """OpenTelemetry's SDK with its batching exporter."""

    on = True

    def __init__(self, service: str) -> None:

        resource = Resource.create({"service.name": service, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(timeout=2), schedule_delay_millis=1000, export_timeout_millis=2000
            )
        )
        self._tracer = self._provider.get_tracer("nettrace", __version__)

    @contextmanager
    def span(self, name: str, kind: str = "internal", parents: Sequence[str] = ()) -> Generator[Span]:
        """See `Tracing.span`."""
        contexts = [found for each in parents if each and (found := _context(each)) is not None]
        around = trace.set_span_in_context(trace.NonRecordingSpan(contexts[0])) if contexts else None
        with self._tracer.start_as_current_span(
            name,
            context=around,
            kind=trace.SpanKind[kind.upper()],
            links=[trace.Link(each) for each in contexts[1:]],
        ) as span:
            yield _Span(span)

    def current(self) -> str:
        """See `Tracing.current`."""
        return _Span(trace.get_current_span()).traceparent

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._provider.force_flush(2000)
        self._provider.shutdown()


class _Span:
    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """By W3C Trace Context, 3.2."""
        context = self._span.get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def note(self, **values: str | float) -> None:
        self._span.set_attributes({name.replace("__", "."): value for name, value in values.items()})


def _context(traceparent: str) -> Any:
    """The span context a traceparent names; None for one that is none."""
    found = TraceContextTextMapPropagator().extract({HEADER: traceparent})
    context = cast("Any", trace.get_current_span(found)).get_span_context()
    return context if context.is_valid else None
