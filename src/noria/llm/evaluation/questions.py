"""Sets of questions: what is asked, what is known of the right answer, and how the question came about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from noria.core.errors import nearest
from noria.core.files import LocalFiles
from noria.core.ids import digest
from noria.llm.evaluation.failures import BadQuestionSet, NotReviewed

Origin = Literal["written", "generated", "mined"]
ORIGINS = ("written", "generated", "mined")
KNOWN = ("id", "question", "references", "reference", "relevant", "unanswerable", "slices", "origin", "reviewed", "made_from")
LONGEST = 20_000  # characters of a question


@dataclass(frozen=True)
class Question:
    """A question.

    references: right answers, any of which will do; none: nothing is known of the answer
    relevant: ids of chunks or documents that answer it, with grades, 1 or more: the higher the more relevant; none: it is not known
    unanswerable: whether the corpus has no answer, so that "I don't know" is the right one
    slices: what it is one of, such as {"language": "de"}; made_from: the text that it was generated from
    reviewed: whether a person has said that it is a good question with a right answer; what people wrote is
    """

    id: str
    question: str
    references: tuple[str, ...] = ()
    relevant: Mapping[str, float] = field(default_factory=dict)
    unanswerable: bool = False
    slices: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = "written"
    reviewed: bool = True
    made_from: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "question": self.question,
            "references": list(self.references),
            "relevant": dict(self.relevant),
            "unanswerable": self.unanswerable,
            "slices": dict(self.slices),
            "origin": self.origin,
            "reviewed": self.reviewed,
            "made_from": self.made_from,
        }


@dataclass(frozen=True)
class QuestionSet:
    """Questions, each with an id of its own, in their order. A set is known by its content: `version`."""

    name: str
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        seen = set[str]()
        for question in self.questions:
            if question.id in seen:
                raise BadQuestionSet(self.name, f"two questions have the id {question.id!r}", "give each an id of its own")
            seen.add(question.id)

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    @cached_property
    def version(self) -> str:
        """SHA-256 of what the questions say; the name, and their order, do not count."""
        return digest(sorted((question.to_dict() for question in self.questions), key=lambda each: str(each["id"])))

    @property
    def unreviewed(self) -> int:
        """How many questions no person has looked at."""
        return sum(not question.reviewed for question in self.questions)

    def require_reviewed(self) -> None:
        """Raise `NotReviewed` where a question was made by a machine and nobody has looked at it."""
        if self.unreviewed:
            raise NotReviewed(self.name, self.unreviewed, len(self))

    @staticmethod
    def read(path: str | Path) -> QuestionSet:
        """The set of a JSON Lines, CSV or Parquet file. Raises `BadQuestionSet`, and what reading data raises."""
        from noria.data.reading import read_rows

        path = Path(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return QuestionSet.of(_json_lines(path), path.stem, str(path))
        return QuestionSet.of(read_rows(path.name, path.resolve().parent).rows.to_pylist(), path.stem, str(path))

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any]], name: str = "questions", where: str = "") -> QuestionSet:
        """The set of rows with the fields of `Question`; further columns are slices. Raises `BadQuestionSet`.

        `question` alone is needed. Lists and mappings may be JSON text, as CSV has them; `reference` is one reference.
        """
        made = [_question(row, number, where or name) for number, row in enumerate(rows, start=1)]
        if not made:
            raise BadQuestionSet(where or name, "there is no question in it", 'write one line a question, such as {"question": "…"}')
        return QuestionSet(name, tuple(made))

    def write(self, path: str | Path) -> None:
        """Write it as JSON Lines."""
        lines = [json.dumps(question.to_dict(), ensure_ascii=False, sort_keys=True) for question in self.questions]
        LocalFiles().write(Path(path), "".join(f"{line}\n" for line in lines).encode())


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuestionSet(str(path), f"it can't be read: {error}", "give a file of JSON Lines in UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadQuestionSet(f"{path}, line {number}", f"the line is no JSON: {error}", "write one JSON object a line") from error
        if not isinstance(row, dict):
            raise BadQuestionSet(f"{path}, line {number}", "the line is no JSON object", 'write one a line, such as {"question": "…"}')
        yield row


def _question(row: Mapping[str, Any], number: int, where: str) -> Question:
    """A question of a row. Raises `BadQuestionSet`."""
    place = f"{where}, question {number}"
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        near = "" if "question" in row else nearest("question", map(str, row))
        raise BadQuestionSet(
            place, f"it has no text in `question`{near}", f"give one; this row has {', '.join(map(str, row)) or 'nothing'}"
        )
    if len(text) > LONGEST:
        raise BadQuestionSet(place, f"it has {len(text):,} characters", f"ask in {LONGEST:,} at most")
    origin = row.get("origin") or "written"
    if origin not in ORIGINS:
        raise BadQuestionSet(place, f"there is no origin {origin!r}{nearest(str(origin), ORIGINS)}", f"use one of {', '.join(ORIGINS)}")
    references = _references(row, place)
    unanswerable = _truth(row.get("unanswerable"), False, place, "unanswerable")
    relevant = _relevant(row.get("relevant"), place)
    if unanswerable and (references or relevant):
        raise BadQuestionSet(place, "it can't be answered, and has an answer or relevant texts", "leave one of them out")
    slices = {**_mapping(row.get("slices"), place, "slices"), **{name: value for name, value in row.items() if name not in KNOWN}}
    return Question(
        str(row.get("id") or digest(text)[:16]),
        text,
        references,
        relevant,
        unanswerable,
        {str(name): str(value) for name, value in slices.items() if value is not None},
        cast(Origin, origin),
        _truth(row.get("reviewed"), origin == "written", place, "reviewed"),
        str(row.get("made_from") or ""),
    )


def _plain(value: Any) -> Any:
    """What a text of JSON says, as cells of CSV have it; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _references(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    given = _plain(row.get("references"))
    if given in (None, "") or (isinstance(given, Sequence) and not given):
        given = row.get("reference")
    several = [] if given is None else [given] if isinstance(given, str | int | float) else given
    if not isinstance(several, Sequence) or not all(isinstance(each, str | int | float) for each in several):
        raise BadQuestionSet(place, "its references are no texts", 'write `references` as a list of texts, such as ["forty euros"]')
    return tuple(text for each in several if (text := str(each).strip()))


def _relevant(given: Any, place: str) -> dict[str, float]:
    """Ids with their grades, of `{"a": 2}`, `["a", "b"]`, `"a"`, or as Arrow has maps."""
    value = _plain(given)
    if value in (None, ""):
        return {}
    if isinstance(value, str):
        return {value: 1.0}
    if isinstance(value, Sequence):
        pairs = [(each["id"], each.get("grade", 1)) if isinstance(each, Mapping) and "id" in each else each for each in value]
        value = dict(pair if isinstance(pair, tuple) else (pair, 1) for pair in pairs)
    try:
        found = {str(each): float(grade) for each, grade in value.items() if grade is not None}
    except (AttributeError, TypeError, ValueError):
        raise BadQuestionSet(place, "`relevant` is no list of ids", 'write ["guide.md"], or {"guide.md": 2, "faq.md": 1}') from None
    if any(grade != int(grade) or not 0 <= grade <= 100 for grade in found.values()):
        raise BadQuestionSet(
            place, "a grade in `relevant` is no whole number from 0 to 100", "use 1 for relevant, 2 for more so; 0 for not"
        )
    return found


def _mapping(given: Any, place: str, name: str) -> Mapping[str, Any]:
    value = _plain(given)
    if value in (None, ""):
        return {}
    if isinstance(value, Sequence) and all(isinstance(each, tuple) and len(each) == 2 for each in value):
        value = dict(value)
    if not isinstance(value, Mapping):
        raise BadQuestionSet(place, f"`{name}` is no mapping", f'write `{name}` as {{"language": "de"}}, or as columns of their own')
    return value


def _truth(given: Any, default: bool, place: str, name: str) -> bool:
    if given is None or given == "":
        return default
    if isinstance(given, bool):
        return given
    if str(given).strip().lower() in ("true", "false", "1", "0", "yes", "no"):
        return str(given).strip().lower() in ("true", "1", "yes")
    raise BadQuestionSet(place, f"`{name}` is {given!r}", "write true or false")
