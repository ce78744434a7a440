"""Applications and generators whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.llm.evaluation import Answered, Question, QuestionSet
from noria.llm.generation import Completion, Message, Options, Usage


@dataclass
class Scripted:
    """A generator that answers by a function of the whole of what it is told; what it raises is raised. asked: what it was told"""

    says: Callable[[str], Any]
    name: str = "scripted"
    asked: list[str] = field(default_factory=list)

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        assert options.temperature == 0
        text = "\n".join(message.content for message in messages)
        self.asked.append(text)
        said = self.says(text)
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Completion):
            return said
        return Completion(said if isinstance(said, str) else json.dumps(said), usage=Usage(len(text) // 4, 10, cost=0.001))

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        yield self.generate(messages, options)

    def definition(self) -> dict[str, Any]:
        return {"generator": self.name}


@dataclass
class Table:
    """An application that answers by a function of the question and how often it was asked."""

    says: Callable[[Question, int], Answered]
    name: str = "table"
    asked: list[tuple[str, int]] = field(default_factory=list)

    def answer(self, question: Question, repeat: int = 0) -> Answered:
        self.asked.append((question.id, repeat))
        return self.says(question, repeat)

    def definition(self) -> dict[str, Any]:
        return {"application": self.name}


def numbered(count: int, **slices: Callable[[int], str]) -> QuestionSet:
    """Questions 0, 1, … whose answer is `It is N.`, in the document `N.md`."""
    rows = [
        {
            "id": str(number),
            "question": f"What is {number}?",
            "reference": f"It is {number}.",
            "relevant": [f"{number}.md"],
            **{name: of(number) for name, of in slices.items()},
        }
        for number in range(count)
    ]
    return QuestionSet.of(rows, "numbers")


def right(question: Question, repeat: int = 0) -> Answered:
    """The right answer, found and cited."""
    del repeat
    text = f"It is {question.id}."
    return Answered(question.id, f"{text} [1]", ("c",), ("c",), (text,), (f"{question.id}.md",), seconds=1.0)


def wrong(question: Question, repeat: int = 0) -> Answered:
    """Another answer, of another document."""
    del repeat
    return Answered(question.id, "It is something else. [1]", ("x",), ("x",), ("It is something else.",), ("other.md",), seconds=1.0)
