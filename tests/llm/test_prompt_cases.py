"""Prompts' own tests: what they ask of an answer, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat_server import chat_server, fine, status
from noria.core.progress import Progress
from noria.llm.generation import (
    BadPrompt,
    BadRequest,
    Message,
    OpenAICompatible,
    Prompt,
    PromptCase,
    Retries,
    prompt_cases,
    prompt_results,
    structured,
)
from noria.llm.generation.rewriting import PROMPTS

TEXT = "---\nvariables: question\n---\n# user\n{question}\n"
SCHEMA = {"type": "object", "required": ["a"]}


def of(base_url: str) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, key_env="NORIA_TEST_KEY", retries=Retries(times=0))


def case(**asked: object) -> PromptCase:
    return PromptCase(name="c", values={"question": "q"}, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "answer", "reasons"),
    [
        (case(contains=("Forty", "[1]")), "forty euros [1]", ()),
        (case(contains=("forty", "[2]"), lacks=("EURO",)), "forty euros [1]", ("it lacks '[2]'", "it has 'EURO'")),
        (case(matches=(r"\d\d", r"^x")), "it is 40", ("nothing in it matches '^x'",)),
        (case(equals="40"), " 40\n", ()),
        (case(equals="40"), "41", ("it is not '40'",)),
        (case(schema=SCHEMA), '{"a": 1}', ()),
        (case(schema=SCHEMA), "{}", ("it does not meet its schema: the whole: 'a' is a required property",)),
    ],
)
def test_an_answer_is_held_against_its_case(asked: PromptCase, answer: str, reasons: tuple[str, ...]) -> None:
    with chat_server(fine(answer)) as server:
        [result] = prompt_results(Prompt("p", TEXT), [asked], of(server.base_url))
    assert (result.outcome, result.reasons) == ("failed" if reasons else "passed", reasons)
    assert result.completion is not None


def test_a_model_that_does_not_answer_says_nothing_of_the_prompt() -> None:
    told = list[Progress]()
    with chat_server(status(500), fine("b")) as server:
        first, second = prompt_results(Prompt("p", TEXT), [case(equals="b"), case(equals="b")], of(server.base_url), tell=told.append)
    assert (first.outcome, second.outcome) == ("unknown", "passed")
    assert "NR-836" in first.reasons[0]
    assert [news.share for news in told] == [0.5, 1.0]


def test_cases_stand_beside_their_prompt(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text(TEXT)
    assert prompt_cases(tmp_path / "p.md") == []
    (tmp_path / "p.tests.jsonl").write_text(
        '{"name": "a", "values": {"question": "ö"}, "contains": ["x"], "options": {"most_tokens": 7, "stop": ["\\n"]}}\n\n'
    )
    [found] = prompt_cases(tmp_path / "p.md")
    with chat_server(fine("x")) as server:
        assert prompt_results(Prompt.read(tmp_path / "p.md"), [found], of(server.base_url))[0].outcome == "passed"
        assert (server.requests[0]["max_tokens"], server.requests[0]["stop"]) == (7, ["\n"])
        assert server.requests[0]["messages"] == [{"role": "user", "content": "ö"}]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        '{"values": {}}',
        '{"name": "a"}',
        '{"name": "a", "contain": ["x"]}',
        '{"name": "a", "contains": "x"}',
        '{"name": "a", "matches": ["("]}',
        '{"name": "a", "contains": ["x"], "options": {"tokens": 3}}',
        '{"name": "a", "contains": ["x"], "options": {"temperature": "warm"}}',
        '{"name": "a", "contains": ["x"]}\n{"name": "a", "contains": ["y"]}',
    ],
)
def test_a_case_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "p.tests.jsonl").write_text(line)
    with pytest.raises(BadPrompt, match="of its tests"):
        prompt_cases(tmp_path / "p.md")


def test_other_variables_than_the_prompt_has_are_refused_before_anybody_is_asked() -> None:
    with pytest.raises(BadPrompt):
        prompt_results(Prompt("p", TEXT), [PromptCase(name="c", values={"qestion": "q"}, equals="a")], of("http://127.0.0.1:1/v1"))


@pytest.mark.parametrize("path", sorted(PROMPTS.glob("*.md")), ids=lambda path: path.stem)
def test_our_own_prompts_have_tests_that_fit_them(path: Path) -> None:
    cases = prompt_cases(path)
    assert cases
    assert all(Prompt.read(path).filled(each.values) for each in cases)


def test_data_by_a_server_that_holds_to_no_schema() -> None:
    with chat_server(fine("no"), fine('{"a": 1}')) as server:
        found = structured(of(server.base_url), [Message("system", "s"), Message("user", "u")], SCHEMA)
        assert (found.data, found.completion.attempts) == ({"a": 1}, 2)
        assert "response_format" not in server.requests[0]
        assert server.requests[0]["messages"][0]["content"].startswith("s\n\nAnswer with JSON alone")
    with pytest.raises(BadRequest):
        structured(of("http://127.0.0.1:1/v1"), [Message("user", "u")], {"type": 7})
