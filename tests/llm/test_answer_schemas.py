"""Answers of a JSON Schema: given back where they don't meet it, and nothing is fetched."""

from __future__ import annotations

from typing import Any

import pytest

from chat_server import chat_server, fine
from noria.llm.generation import BadAnswer, BadRequest, Message, OpenAICompatible, Options, Retries

HI = [Message("user", "hi")]


def of(base_url: str, **changes: Any) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, retries=Retries(times=0), key_env="NORIA_TEST_KEY", **changes)


SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}


def test_an_answer_that_does_not_meet_its_schema_is_given_back() -> None:
    with chat_server(fine("I think 7"), fine('{"age": "seven"}'), fine('```json\n{"age": 7}\n```')) as server:
        made = of(server.base_url).generate(HI, Options(schema=SCHEMA))
        assert (made.data, made.attempts, made.usage.completion_tokens) == ({"age": 7}, 3, 9)
        assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA
        assert server.requests[1]["messages"][-2] == {"role": "assistant", "content": "I think 7"}
        assert "not JSON" in server.requests[1]["messages"][-1]["content"]
        assert "['age']: 'seven' is not of type 'integer'" in server.requests[2]["messages"][-1]["content"]
        assert len(server.requests[2]["messages"]) == 3  # only the last answer: a model repeats what it reads


def test_an_answer_that_never_meets_its_schema_is_an_error() -> None:
    with chat_server(fine("seven")) as server:
        with pytest.raises(BadAnswer, match="after 3 tries it is not what the schema asks"):
            of(server.base_url).generate(HI, Options(schema=SCHEMA))
        with pytest.raises(BadAnswer, match="not what the schema asks") as caught:
            list(of(server.base_url).stream(HI, Options(schema=SCHEMA)))
        assert (caught.value.partial, len(server.requests)) == ("seven", 4)
    with chat_server(fine('{"age"', finish="length")) as server, pytest.raises(BadAnswer, match="it ended at 3 tokens"):
        of(server.base_url).generate(HI, Options(schema=SCHEMA))


def test_a_schema_in_words_is_for_servers_without_it() -> None:
    with chat_server(fine('{"age": 7}')) as server:
        for mode in ("json_object", "prompt"):
            assert of(server.base_url, schema_mode=mode).generate(HI, Options(schema=SCHEMA)).data == {"age": 7}
        first, second = server.requests
    assert first["response_format"] == {"type": "json_object"}
    assert "response_format" not in second
    assert '"required":["age"]' in second["messages"][0]["content"]


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "https://example.org/schema.json"}, {"$ref": "#/$defs/none"}])
def test_a_schema_that_is_none_is_refused_and_nothing_is_fetched(schema: dict[str, Any]) -> None:
    with chat_server(fine("{}")) as server, pytest.raises(BadRequest, match="the schema"):
        of(server.base_url).generate(HI, Options(schema=schema))
