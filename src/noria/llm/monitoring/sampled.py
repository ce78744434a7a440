"""A judge of the evaluation, asked about a sample of what was answered in production."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noria.core.errors import UserMistake
from noria.llm.evaluation.judge import Judge, judge_digest
from noria.llm.evaluation.judge_record import JudgeRecord
from noria.monitoring.answers.judged import Said, SampledJudge

A_DAY = 50


class BadSampling(UserMistake):
    """A judge can't be asked about a sample of answers as it is declared."""

    code = "NR-587"

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what=what, where=where, fix=fix)


def sampled(
    judge: Judge,
    *,
    at_least: float,
    a_day: int = A_DAY,
    dollars: float | None = None,
    record: JudgeRecord | Path | str | None = None,
) -> SampledJudge:
    """A judge for `nr.Monitor(judged=[…])`: the loop asks it about answers that are drawn at random from the prediction log.

    at_least: the share of good answers that is promised, between 0 and 1; a_day: how many answers are judged a day (UTC), at most
    dollars: that may be spent on it a day. Each judgement has to say what it cost; the last one may go beyond
    record: how it was measured against people, or the file of that. Without one, or with that of another judge, the monitor is unknown,
        and a finding says what the judge says, and calls nobody

    Raises `BadSampling`, and `BadHumanLabels` for a file that is no record.
    """
    where = f"llm.sampled({judge.name}, …)"
    if judge.needs_reference:
        raise BadSampling(f"{judge.name} needs a right answer, and in production none is known", where, "take a judge such as Faithfulness")
    if not 0 < at_least < 1:
        raise BadSampling(f"at_least is {at_least}", where, "give a share between 0 and 1, such as at_least=0.9")
    if a_day < 1 or (dollars is not None and dollars <= 0):
        raise BadSampling(f"a_day is {a_day}, dollars {dollars}", where, "give a number of answers, and an amount above 0")
    known, key = record if isinstance(record, JudgeRecord | None) else JudgeRecord.read(record), judge_digest(judge)
    human, scores = (known.human, known.judged) if known is not None and known.judge == key else ((), ())

    def ask(question: str, answer: str, chunks: Sequence[str]) -> Said:
        said = judge.judge(question, answer, chunks)
        return Said(said.score, said.missing, said.usage.prompt_tokens + said.usage.completion_tokens, said.usage.cost)

    return SampledJudge(judge.name, key, at_least, a_day, dollars, human, scores, ask=ask)
