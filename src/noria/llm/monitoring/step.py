"""Steps of an answer, such as a tool that is called or an agent that is asked, as spans of a trace.

They follow OpenTelemetry's conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/) and OpenInference's
(https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md), so that what reads traces shows them as what they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from noria.core.ids import finite

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Kind = Literal["tool", "agent", "chain", "retriever"]

OPERATIONS = {"tool": "execute_tool", "agent": "invoke_agent", "retriever": "retrieval", "chain": ""}
NAMES = {"tool": ("gen_ai.tool.name", "tool.name"), "agent": ("gen_ai.agent.name", "agent.name"), "retriever": ("gen_ai.data_source.id",)}
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Step:
    """A step that is under way."""

    def __init__(self, span: Span | None, *, contents: bool) -> None:
        self._span, self._contents = span, contents

    def say(self, **attributes: Any) -> None:
        """Add attributes: texts and numbers as they are, anything else as JSON."""
        for name, value in attributes.items():
            self._set(name, value)

    def asked(self, value: Any) -> None:
        """What it was given; left out of the span unless contents may be told."""
        if self._contents:
            self._set("input.value", value)

    def answered(self, value: Any) -> None:
        """What it gave; left out of the span unless contents may be told."""
        if self._contents:
            self._set("output.value", value)

    def _set(self, name: str, value: Any) -> None:
        if self._span is not None:
            plain = isinstance(value, str | bool | int | float)
            self._span.set_attribute(name, value if plain else json.dumps(finite(value), default=str))


@contextmanager
def step(name: str, kind: Kind = "tool", *, contents: bool = False) -> Iterator[Step]:
    """A span around a step of an answer, below the one that is current: `with llm.step("search") as search: …`.

    name: of the tool, the agent or the part; contents: whether what it was given and gave may be told, which may be personal data

    It is a span where the process has a tracer of OpenTelemetry, or the environment variable `OTEL_EXPORTER_OTLP_ENDPOINT` (its own,
    with the extra `traces`) says where spans go; else it does nothing. What is raised within is told by its kind, and raised.
    """
    tracer = _tracer()
    if tracer is None:
        yield Step(None, contents=contents)
        return
    from opentelemetry.trace import StatusCode

    operation = OPERATIONS[kind]
    attributes = {"openinference.span.kind": kind.upper(), **dict.fromkeys(NAMES.get(kind, ()), name)}
    attributes |= {"gen_ai.operation.name": operation} if operation else {}
    spanned = tracer.start_as_current_span(
        f"{operation} {name}".strip(), attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    with spanned as span:
        try:
            yield Step(span, contents=contents)
        except BaseException as error:
            span.set_attribute("error.type", str(getattr(error, "code", type(error).__name__)))
            span.set_status(StatusCode.ERROR)
            raise


def _tracer() -> Any:
    """The tracer of this process; None where OpenTelemetry is not installed."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    _export()
    return trace.get_tracer("noria.llm")


@cache
def _export() -> None:
    """Have spans sent where the environment says, unless somebody has decided on it already."""
    from opentelemetry import trace

    if not any(os.environ.get(name) for name in ENDPOINTS) or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "noria")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
