"""Traces of what the programs do, when asked for: OpenTelemetry over OTLP/HTTP with the extra `telemetry`, else nothing.

Asked for by the standard variable `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`); the other
`OTEL_` variables of the SDK hold as well. Context travels as W3C `traceparent`: in a header to the hub, in the frame to
the writer. Without the variable nothing is imported.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Protocol

from nettrace.errors import ConfigError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADER = "traceparent"


class Span(Protocol):
    """A piece of work that is being traced."""

    @property
    def traceparent(self) -> str:
        """What continues this trace elsewhere; empty when nothing is traced."""
        ...

    def note(self, **values: str | float) -> None:
        """Attributes of it."""
        ...


class Tracing:
    """Traces nothing, at no cost."""

    on = False

    @contextmanager
    def span(self, name: str, kind: str = "internal", parents: Sequence[str] = ()) -> Generator[Span]:
        """A piece of work.

        Args:
            name: the same for all work of its sort.
            kind: `internal`, `client`, `server`.
            parents: traceparents it goes on from: the first is its parent, the others are linked; none or empty ones
                take the work around it, or begin a trace.
        """
        del name, kind, parents
        yield NOTHING

    def current(self) -> str:
        """The traceparent of the work under way here."""
        return ""

    def close(self) -> None:
        """Send what waits."""


class _Nothing:
    traceparent = ""

    def note(self, **values: str | float) -> None:
        del values


NOTHING: Span = _Nothing()
OFF = Tracing()


def tracing(service: str, environment: Mapping[str, str] = os.environ) -> Tracing:
    """What a program traces with; `OFF` unless an endpoint is named.

    Args:
        service: `nettrace-node`, `nettrace-api`, `nettrace-writer`.
        environment: where the endpoint is named.

    Raises:
        ConfigError: an endpoint is named and the extra is not installed.
    """
    if not any(environment.get(name) for name in ENDPOINTS):
        return OFF
    try:
        made: Tracing = import_module("nettrace.runtime.otlp").Traced(service)
    except ImportError as error:
        raise ConfigError(
            f"traces are asked for ({' or '.join(ENDPOINTS)}) and OpenTelemetry is not installed",
            "pip install 'nettrace[telemetry]', or unset the variable",
        ) from error
    return made
