"""What an application answered to a question, as evaluation reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from noria.data.rows import Rows
from noria.llm.evaluation.questions import Question
from noria.llm.generation.port import Usage

ANSWERED, UNKNOWN, BLOCKED, CUT, SEARCHED = "answered", "unknown", "blocked", "length", "searched"


@dataclass(frozen=True)
class Answered:
    """One answer.

    cited: ids of the chunks that it cites; found: of those found for the question, the most relevant first, with their texts and places
    finish: as `nr.Generation` has it: answered, unknown, blocked, length or searched; error: why there is no answer, where there is none
    """

    question_id: str
    answer: str = ""
    cited: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    found_texts: tuple[str, ...] = ()
    found_places: tuple[str, ...] = ()
    finish: str = ANSWERED
    seconds: float | None = None
    usage: Usage = field(default_factory=Usage)
    error: str = ""

    @property
    def text_of(self) -> dict[str, str]:
        """The text of each chunk that was found, by its id."""
        return dict(zip(self.found, self.found_texts, strict=False))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(given: dict[str, Any]) -> Answered:
        """What `to_dict` gave, from JSON."""
        lists = {name: tuple(given[name]) for name in ("cited", "found", "found_texts", "found_places")}
        return Answered(**{**given, **lists, "usage": Usage(**given["usage"])})


class Answering(Protocol):
    """An application that is evaluated: a service, a model of the project, or a function that is wrapped."""

    def answer(self, question: Question, repeat: int = 0) -> Answered:
        """The answer to a question. repeat: how often it was asked before, so that who samples can take another seed. May raise."""
        ...

    def definition(self) -> dict[str, Any]:
        """What its answers depend on, as plain data: another definition is another application."""
        ...


def answered_rows(rows: Rows, ids: Sequence[str], seconds: Sequence[float | None] | None = None) -> list[Answered]:
    """What a model of the task `nr.Generation` answered, row by row. ids: of the questions; seconds: that each took, where known"""
    found = list[Answered]()
    for place, (row, question_id) in enumerate(zip(rows.dicts(), ids, strict=True)):
        usage = Usage(int(row.get("prompt_tokens") or 0), int(row.get("completion_tokens") or 0), cost=row.get("cost"))
        cited, chunks, texts, places = (tuple(row.get(name) or ()) for name in ("cited", "found", "found_texts", "found_places"))
        took = None if seconds is None else seconds[place]
        found.append(Answered(question_id, row["answer"], cited, chunks, texts, places, row["finish"], took, usage))
    return found


def failed(question_id: str, error: Exception, seconds: float | None = None) -> Answered:
    """What stands in the place of an answer where the application raised."""
    what = getattr(error, "what", None) or f"{type(error).__name__}: {error}"
    return replace(Answered(question_id), finish="failed", seconds=seconds, error=str(what)[:500])
