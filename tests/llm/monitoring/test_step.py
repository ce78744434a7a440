"""Steps of an answer as spans: named by the conventions, one within the other, and nothing told that may not be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from noria.core.errors import UserMistake
from noria.llm.monitoring import step

WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from noria import llm
with llm.step("search") as search:
    search.asked("x")
    search.say(found=3)
print("done")
"""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_steps_are_spans_within_each_other_as_the_conventions_name_them(spans: InMemorySpanExporter) -> None:
    with step("concierge", "agent"), step("prices") as prices:
        prices.asked("101")
        prices.answered(12.5)
        prices.say(**{"gen_ai.tool.call.id": "c1", "rooms": [1, float("nan")]})
    with step("handbook", "retriever"), step("rest", "chain"):
        pass
    tool, agent, rest, retriever = spans.get_finished_spans()
    assert (tool.name, agent.name, retriever.name, rest.name) == (
        "execute_tool prices",
        "invoke_agent concierge",
        "retrieval handbook",
        "rest",
    )
    assert tool.parent is not None
    assert tool.parent.span_id == agent.context.span_id
    assert dict(tool.attributes or {}) == {
        "openinference.span.kind": "TOOL",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "prices",
        "tool.name": "prices",
        "gen_ai.tool.call.id": "c1",
        "rooms": json.dumps([1, None]),
    }
    assert dict(rest.attributes or {}) == {"openinference.span.kind": "CHAIN"}


def test_contents_are_told_where_they_may_be(spans: InMemorySpanExporter) -> None:
    with step("prices", contents=True) as prices:
        prices.asked({"room": "101"})
        prices.answered(12.5)
    [span] = spans.get_finished_spans()
    told = dict(span.attributes or {})
    assert (told["input.value"], told["output.value"]) == ('{"room": "101"}', 12.5)


def test_what_is_raised_is_told_by_its_kind_and_raised(spans: InMemorySpanExporter) -> None:
    for error in (ValueError("a secret"), UserMistake(what="a secret", where="here", fix="none")):
        with pytest.raises(type(error)), step("prices"):
            raise error
    for span in spans.get_finished_spans():
        assert not span.status.is_ok
        assert "secret" not in span.to_json()
    assert [(span.attributes or {})["error.type"] for span in spans.get_finished_spans()] == ["ValueError", UserMistake.code]


def test_without_opentelemetry_a_step_does_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == "done\n"
