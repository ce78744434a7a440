"""An application's answers to questions of which it is known what would help, before it is sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from noria.core.progress import Progress, Tell
from noria.evaluation.generation import INPUTS, QUESTION
from noria.llm.application.answering import AT_ONCE, Answering
from noria.llm.application.confidence import helped
from noria.llm.evaluation.answered import answered_rows
from noria.llm.evaluation.questions import Question


def known_answers(application: Answering, asked: Sequence[Question], tell: Tell) -> Iterator[tuple[float, float]]:
    """Of each answer how near its nearest source is, and whether it helped (1 or 0), where a question says what would. Of what is no answer
    there is nothing to be confident of."""
    for at in range(0, len(asked), AT_ONCE):
        tell(Progress("calibrate", f"{at:,} of {len(asked):,} questions whose answers are known", share=at / len(asked)))
        some = asked[at : at + AT_ONCE]
        rows = application.predict(_columns(some))
        near = rows.column("similarity").to_pylist()
        for question, answered, similarity in zip(some, answered_rows(rows, [each.id for each in some]), near, strict=True):
            outcome = helped(question, answered) if answered.finish == "answered" else None
            if outcome is not None and similarity is not None:
                yield float(similarity), outcome


def _columns(asked: Sequence[Question]) -> dict[str, list[object]]:
    return {field.name: [each.question if field is QUESTION else None for each in asked] for field in INPUTS}
