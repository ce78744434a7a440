"""Traces of sampled requests (https://opentelemetry.io/docs/specs/otel/trace): one span for the request, one below it for each stage.

A request is traced when its caller's trace is (header `traceparent`, https://www.w3.org/TR/trace-context), or by chance, at the
share that was asked for. Spans are sent by the SDK's own exporter in a thread; what can't be sent is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from noria.core.errors import MissingExtra, NoriaError
from noria.core.ids import short
from noria.serving.observe.generated_spans import GeneratedSpans

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})")
SAMPLED = 1
Stage = tuple[str, float, float]
Stages = Sequence[Stage]
"""Name, begin and end of each stage of a batch, in seconds since its first request came."""


class Trace:
    """The trace of one request. `received_us`: when its batch's first request came (microseconds UTC), which stages count from."""

    def __init__(self, tracer: Tracer, span: Span, received_us: int) -> None:
        self._tracer, self._span, self._received_ns = tracer, span, 1000 * received_us

    def end(self, stages: Stages, seconds: float, about: Mapping[str, Any], generated: GeneratedSpans | None = None) -> None:
        """The request was answered, so long after its batch's first came. generated: what there is to say of an answer that a model of the
        task `generation` gave"""
        from opentelemetry.trace import set_span_in_context

        inside = set_span_in_context(self._span)
        for name, begin, end in stages:
            span = self._tracer.start_span(name, inside, start_time=self._at(begin))
            span.end(self._at(end))
        for name, value in about.items():
            self._span.set_attribute(f"noria.{name}", value)
        if generated is not None:
            self._describe(generated, inside, self._at(model_began(stages)))
        self._span.end(self._at(seconds))

    def _describe(self, generated: GeneratedSpans, inside: Any, at: int) -> None:
        """Name the request's span as the conventions have it, and put one for what was found below it. A model does not say how long it
        searched: that span has no length, and stands where the model began."""
        self._span.update_name(generated.name)
        self._span.set_attributes(generated.attributes)
        if generated.retrieval is not None:
            span = self._tracer.start_span(generated.retrieval_name, inside, start_time=at, attributes=generated.retrieval)
            span.end(at)

    def fail(self, error: NoriaError, seconds: float) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", error.code)
        self._span.set_status(StatusCode.ERROR, error.what)
        self._span.end(self._at(seconds))

    def _at(self, seconds: float) -> int:
        return self._received_ns + int(1e9 * seconds)


class Traces:
    """Begins the traces of one worker."""

    def __init__(self, endpoint: str, share: float, writer: str) -> None:
        """`endpoint`: the URL that takes OTLP over HTTP. Raises `MissingExtra`."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingExtra(library="opentelemetry", extra="traces", needed_for="serving.trace_endpoint") from error
        self._share, self._random = share, Random(writer)
        self._exporter = _counted(OTLPSpanExporter(endpoint=endpoint))
        self._provider = TracerProvider(resource=Resource.create({"service.name": "noria", "service.instance.id": writer}))
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("noria.serving")
        self._propagator = TraceContextTextMapPropagator()
        self.begun = 0

    def begin(self, endpoint: str, parent: str, received_us: int) -> Trace | None:
        """The trace of a request; None if it is not traced."""
        from opentelemetry.trace import SpanKind

        found = PARENT.fullmatch(parent)
        if not (int(found[1], 16) & SAMPLED if found else self._random.random() < self._share):
            return None
        self.begun += 1
        context = self._propagator.extract({"traceparent": parent}) if found else None
        span = self._tracer.start_span(f"predict {endpoint}", context, SpanKind.SERVER, start_time=1000 * received_us)
        return Trace(self._tracer, span, received_us)

    def to_dict(self) -> dict[str, int]:
        """Traces begun, and spans sent and lost."""
        return {"begun": self.begun, "spans_sent": self._exporter.sent, "spans_lost": self._exporter.lost}

    def close(self) -> None:
        """Send what is left. May take seconds where nobody takes it."""
        self._provider.shutdown()


def model_began(stages: Stages) -> float:
    """When the model began with a batch or an answer, in seconds since the first request of it came."""
    return next((begin for name, begin, _ in stages if name in ("score", "first part")), 0.0)


def answered_by(bundle: str, batch_rows: int, fallback: str | None) -> dict[str, Any]:
    """What a trace says of an answer."""
    return {"bundle": short(bundle), "batch_rows": batch_rows, **({"fallback": fallback} if fallback else {})}


def _counted(exporter: Any) -> Any:
    """An exporter that counts what it has sent and what it could not send."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counted(SpanExporter):  # type: ignore[misc]
        sent = lost = 0

        def export(self, spans: Sequence[Any]) -> Any:
            result = exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
            else:
                self.lost += len(spans)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Counted()
