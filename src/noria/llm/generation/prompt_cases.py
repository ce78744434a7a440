"""Prompts' own tests: cases beside a prompt's file, which a model answers, and what must and must not be in its answers.

    prompts/answer.md             the prompt
    prompts/answer.tests.jsonl    a case a line:

    {"name": "cites", "values": {"question": "…", "sources": "…"}, "contains": ["[1]"], "lacks": ["as an AI"], "matches": ["\\d+"]}

Further keys: `equals` (the whole answer), `schema` (a JSON Schema that it meets), `options` (those of `Options`, such as most_tokens).
Capitals don't matter to `contains` and `lacks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from noria.core.progress import Progress, Tell, silence
from noria.llm.generation.failures import NoAnswer
from noria.llm.generation.port import Completion, Generator, Options
from noria.llm.generation.prompt import BadPrompt, Prompt
from noria.llm.generation.schemas import NotOfSchema, read

Outcome = Literal["passed", "failed", "unknown"]


class PromptCase(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One case. values: of the prompt's variables; the others: what is asked of the answer"""

    name: str
    values: dict[str, str] = {}
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    equals: str | None = None
    schema: dict[str, Any] | None = None
    options: dict[str, Any] = {}

    def wrong(self, text: str) -> Iterator[str]:
        """What is wrong with an answer."""
        folded = text.casefold()
        yield from (f"it lacks {part!r}" for part in self.contains if part.casefold() not in folded)
        yield from (f"it has {part!r}" for part in self.lacks if part.casefold() in folded)
        yield from (f"nothing in it matches {pattern!r}" for pattern in self.matches if not re.search(pattern, text))
        if self.equals is not None and text.strip() != self.equals.strip():
            yield f"it is not {self.equals!r}"
        if self.schema is not None:
            try:
                read(text, self.schema)
            except NotOfSchema as error:
                yield f"it does not meet its schema: {error}"


@dataclass(frozen=True)
class PromptResult:
    """What came of a case. unknown: the model did not answer, which says nothing of the prompt. reasons: why it failed, or is unknown"""

    case: PromptCase
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    completion: Completion | None = None


def prompt_cases(prompt: Path) -> list[PromptCase]:
    """The cases beside a prompt's file: answer.tests.jsonl beside answer.md; none where there is no such file. Raises `BadPrompt`."""
    path = prompt.with_name(f"{prompt.stem}.tests.jsonl")
    if not path.exists():
        return []
    found = list[PromptCase]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrompt(prompt.stem, f"its tests can't be read: {error}", f"write {path.name} as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                case = msgspec.json.decode(line, type=PromptCase)
                _checked(case)
            except (msgspec.MsgspecError, re.error, TypeError, ValueError) as error:
                keys = ", ".join(PromptCase.__struct_fields__)
                raise BadPrompt(prompt.stem, f"line {number} of its tests is no case: {error}", f"give an object with {keys}") from None
            if any(case.name == other.name for other in found):
                raise BadPrompt(prompt.stem, f"two of its tests are named {case.name!r}", "give each a name of its own")
            found.append(case)
    return found


def prompt_results(
    prompt: Prompt, cases: Sequence[PromptCase], generator: Generator, options: Options = Options(), tell: Tell = silence
) -> list[PromptResult]:
    """What a model makes of a prompt in each case. Raises `BadPrompt` where a case has other variables than the prompt."""
    filled = [(case, prompt.filled(case.values)) for case in cases]  # all, before any model is asked
    results = list[PromptResult]()
    for case, messages in filled:
        try:
            made = generator.generate(messages, replace(options, **_options(case)))
        except NoAnswer as failure:
            results.append(PromptResult(case, "unknown", (f"{failure.code}: {failure.what}",)))
        else:
            reasons = tuple(case.wrong(made.text))
            results.append(PromptResult(case, "failed" if reasons else "passed", reasons, made))
        tell(Progress(f"prompt {prompt.name}", results[-1].outcome, case.name, len(results) / len(cases)))
    return results


def _checked(case: PromptCase) -> None:
    replace(Options(), **_options(case))
    for pattern in case.matches:
        re.compile(pattern)
    if not (case.contains or case.lacks or case.matches or case.schema or case.equals is not None):
        raise ValueError("it asks nothing of the answer")


def _options(case: PromptCase) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in case.options.items()}
