"""What can be wrong with a set of questions, a judge or a gate."""

from __future__ import annotations

from collections.abc import Iterable

from noria.core.errors import UserMistake, nearest


class BadQuestionSet(UserMistake):
    """A set of questions can't be read, or a question of it is not one."""

    code = "NR-850"

    def __init__(self, where: str, why: str, fix: str) -> None:
        super().__init__(what=why, where=where, fix=fix)


class NotReviewed(UserMistake):
    """A gate was to decide on questions that no person has looked at."""

    code = "NR-851"

    def __init__(self, name: str, count: int, of: int) -> None:
        self.count = count
        super().__init__(
            what=f"{count:,} of {of:,} questions were generated or mined, and nobody has reviewed them",
            where=f"question set {name!r}",
            fix="run `noria llm review SET`, or allow them with unreviewed=True",
        )


class UnknownAnswerMetric(UserMistake):
    """A gate or a report names a metric that was not measured."""

    code = "NR-852"

    def __init__(self, name: str, known: Iterable[str], where: str) -> None:
        every = sorted(known)
        super().__init__(
            what=f"there is no metric {name!r}{nearest(name, every)}",
            where=where,
            fix=f"use one of {', '.join(every)}" if every else "give evaluate(…) metrics",
        )


class NotComparable(UserMistake):
    """Two evaluations are not of the same questions."""

    code = "NR-853"

    def __init__(self, why: str) -> None:
        super().__init__(
            what=why, where="compare(before, after)", fix="evaluate both on the same version of the set, with the same metrics"
        )


class BadGate(UserMistake):
    """A gate was declared with values that can't be."""

    code = "NR-854"

    def __init__(self, gate: str, why: str, fix: str) -> None:
        super().__init__(what=why, where=gate, fix=fix)


class BadHumanLabels(UserMistake):
    """Labels by people do not fit what was judged."""

    code = "NR-855"

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(what=why, where="the human labels", fix=fix)


class TooFewTexts(UserMistake):
    """A support model, or a generated set, was to be made from too little text."""

    code = "NR-856"

    def __init__(self, what: str, found: int, least: int) -> None:
        super().__init__(
            what=f"{found:,} usable sentences or chunks; {least:,} are needed", where=what, fix="give more documents, with whole sentences"
        )


class BadReview(UserMistake):
    """A review file is not one, or not of this set."""

    code = "NR-857"

    def __init__(self, where: str, why: str) -> None:
        super().__init__(what=why, where=where, fix='write one line a question: {"id": …, "decision": "accept" | "reject", "by": …}')
