"""One trace an upload, from event to verdict, where OpenTelemetry is installed and asked for.

The id of a job has the 128 bits of a trace id, so it is that: every process knows the trace of what
it works on, through whatever queue it came, and a job's page and its trace are found by one id.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import structlog

from shared.errors import SetupError
from shared.settings import Settings

_tracer: Any = None
#: The trace and span ids that the next span gets, where they are not left to chance.
_wanted: ContextVar[tuple[int, int] | None] = ContextVar("wanted", default=None)
_log = structlog.get_logger()


def configure(settings: Settings, role: str, exporter: Any = None) -> None:
    """Send the spans of this process to a collector, where one is set.

    Args:
        settings: `traces_url` is the collector's OTLP address over HTTP; empty sends nothing.
        role: What the process is: the name of its service.
        exporter: Where spans go instead, for tests.

    Raises:
        SetupError: A collector is set, and OpenTelemetry is not installed.
    """
    global _tracer  # noqa: PLW0603  # one a process, as in OpenTelemetry itself
    if exporter is None and not settings.traces_url:
        return
    if importlib.util.find_spec("opentelemetry") is None:
        raise SetupError("GUARDIAN_TRACES_URL needs the extra `traces` to be installed.")
    from opentelemetry.sdk import trace  # noqa: PLC0415  # optional
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # optional
    from opentelemetry.sdk.trace import export  # noqa: PLC0415  # optional

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        processor: Any = export.BatchSpanProcessor(OTLPSpanExporter(settings.traces_url))
    else:
        processor = export.SimpleSpanProcessor(exporter)
    resource = Resource.create({"service.name": f"{settings.prefix}-{role}"})
    provider = trace.TracerProvider(resource=resource, id_generator=_ids())
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("silver-guardian")
    _log.info("traces_sent", role=role)


@contextmanager
def span(job_id: str, name: str, **attributes: str | float) -> Iterator[None]:
    """Record the block as a part of a job's trace; nothing where traces are not asked for."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, context=_inside(job_id), attributes=attributes):
        yield


def whole(job_id: str, began: datetime, ended: datetime, **attributes: str | float) -> None:
    """Record the whole way of an upload: the span that all others of its trace lie in."""
    if _tracer is None:
        return
    from opentelemetry.context import Context  # noqa: PLC0415  # optional

    token = _wanted.set((int(job_id, 16), _root(job_id)))
    try:
        made = _tracer.start_span(
            "upload", context=Context(), start_time=_ns(began), attributes=attributes
        )
    finally:
        _wanted.reset(token)
    made.end(end_time=_ns(ended))


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


def _root(job_id: str) -> int:
    """Return the id of the span of the whole upload; never 0, which would be none."""
    return int(hashlib.sha256(job_id.encode()).hexdigest()[:16], 16) or 1


def _inside(job_id: str) -> Any:
    """Return the context of a span inside the whole one, which another process may record."""
    from opentelemetry import trace  # noqa: PLC0415  # optional

    where = trace.SpanContext(
        trace_id=int(job_id, 16),
        span_id=_root(job_id),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(where))


def _ids() -> Any:
    """Return a source of random ids that gives the whole span the ids that the others expect."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415  # optional

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            wanted = _wanted.get()
            return super().generate_trace_id() if wanted is None else wanted[0]

        def generate_span_id(self) -> int:
            wanted = _wanted.get()
            return super().generate_span_id() if wanted is None else wanted[1]

    return Ids()
