"""What a judge says of live answers, as a score by which a shadow is decided: only as far as the judge was measured against people.

An answer that is none (unknown, blocked, failed) counts 0, since it helps nobody: or else a candidate would look better for each question
that it refuses. Of a question that nothing answers both count 0, and neither is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noria.evaluation.answer_scores import AnswerScore, ShownAnswer
from noria.evaluation.generation_scores import is_answer
from noria.llm.evaluation.evidence import slope_bounds
from noria.llm.evaluation.judge import Judge, judge_digest
from noria.llm.evaluation.judge_record import MIN_LABELS, JudgeRecord


@dataclass(frozen=True)
class JudgedLive:
    """Asks a judge about one live answer."""

    judge: Judge

    def __call__(self, shown: ShownAnswer) -> float | str:
        if not is_answer(shown):
            return 0.0
        if not shown.asked.get("question"):
            return "the question is not logged (serving.redact)"
        found = self.judge.judge(shown.asked["question"], str(shown.said["answer"]), tuple(shown.said.get("found_texts") or ()))
        return f"{self.judge.name}: {found.missing.replace('_', ' ')}" if found.score is None else found.score


def judge_scores(judges: Sequence[Judge], records: Sequence[JudgeRecord]) -> tuple[AnswerScore, ...]:
    """The scores of those judges that need no right answer, since of live questions none is known."""
    return tuple(_score(judge, records) for judge in judges if not judge.needs_reference)


def _score(judge: Judge, records: Sequence[JudgeRecord]) -> AnswerScore:
    known = judge_digest(judge)
    record = next((each for each in records if each.judge == known and each.labels >= MIN_LABELS), None)
    if record is None:
        lacking = f"the judge {judge.name} was not measured on {MIN_LABELS} answers that people have judged"
        return AnswerScore(judge.name, JudgedLive(judge), judged=True, lacking=lacking)

    def slopes(level: float) -> tuple[float, float]:
        return slope_bounds(record, level)

    return AnswerScore(judge.name, JudgedLive(judge), judged=True, slopes=slopes)
