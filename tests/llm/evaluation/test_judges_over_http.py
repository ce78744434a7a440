"""A judge that asks a real server: what it is asked, and what it says of a server that hangs, fails, or withholds its answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("noria.llm.generation.openai_compatible")

from chat_server import Behaviour, chat_server, fine, hangs, status
from noria.llm.evaluation import Faithfulness
from noria.llm.evaluation.llm_judge import JUDGED
from noria.llm.generation import OpenAICompatible, Retries

CLAIMS, VERDICTS = fine(json.dumps({"claims": ["It is blue."]})), fine(json.dumps({"verdicts": ["supported"]}))


def judge(base_url: str, timeout: float = 30.0) -> Faithfulness:
    generator = OpenAICompatible("m", base_url, retries=Retries(times=0), key_env="NORIA_TEST_KEY")
    return Faithfulness(generator, replace(JUDGED, timeout=timeout))


def test_it_asks_for_json_of_a_schema_at_temperature_0_and_counts_tokens() -> None:
    with chat_server(CLAIMS, VERDICTS) as server:
        found = judge(server.base_url).judge("Which?", "It is blue. [1]", ["It is blue."])
    assert (found.score, found.usage.prompt_tokens) == (1.0, 14)
    first: dict[str, Any] = server.requests[0]
    assert first["temperature"] == 0
    assert "claims" in json.dumps(first["response_format"])


@pytest.mark.parametrize(
    ("trouble", "missing"),
    [
        (hangs, "timed_out"),
        (status(500), "failed"),
        (status(429), "failed"),
        (fine("", finish="content_filter"), "refused"),
        (fine("I can't do that."), "unreadable"),
    ],
)
def test_what_a_server_does_wrong_is_missing_and_why(trouble: Behaviour, missing: str) -> None:
    with chat_server(trouble) as server:
        found = judge(server.base_url, timeout=0.5).judge("Which?", "It is blue.", ["It is blue."])
    assert (found.score, found.missing) == (None, missing)
    assert found.why
