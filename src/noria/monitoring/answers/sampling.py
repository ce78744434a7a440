"""Asking a judge about a sample of the answers in the prediction log, within a number and an amount of money a day.

Of each closed window, as many answers are drawn at random as the day's number has left by then; which, follows from their ids, so that
a sampling that was killed goes on with the same ones. A judge that raises has not judged, whatever it raised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from noria.core.calendar import DAY
from noria.core.clock import Clock, from_epoch
from noria.core.files import Files
from noria.core.grid import Grid
from noria.core.ids import digest
from noria.models.registry import CHAMPION
from noria.monitoring.answers.judged import Said, SampledJudge
from noria.serving.log.segments import read_log
from noria.stores.verdicts import AnswerVerdict, Verdicts

logger = logging.getLogger("noria.monitoring")

JUDGED = ("answered", "length")  # how answers finish that say something
BEHIND = DAY  # how far back answers are drawn, where the loop has rested


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer that was given. question: empty where the log does not keep it; chunks: the texts that were found"""

    prediction: str
    bundle: str
    received: datetime
    question: str
    answer: str
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class Sampling:
    """Where the answers of an endpoint are, and what keeps the verdicts. stopped: whether it is time to stop"""

    log: Path
    files: Files
    grid: Grid
    verdicts: Verdicts
    clock: Clock
    stopped: Callable[[], bool] = lambda: False

    def run(self, judge: SampledJudge) -> int:
        """Judge what closed windows have, up to now; returns how many answers were judged. Raises `sqlite3.Error`, `OSError`."""
        now, done = self.clock.now(), 0
        until, before = self.grid.floor(now), self.verdicts.until(judge.key)
        least = self.grid.ceiling(now - BEHIND)
        start = least if before is None else max(least, before)
        while start < until:
            for answer in self._drawn(judge, start):
                if self.stopped() or not self._may(judge):
                    return done
                said = _said(judge, answer)
                verdict = AnswerVerdict(answer.prediction, answer.bundle, answer.received, self.clock.now(), *said)
                self.verdicts.add(judge.key, verdict)
                done += 1
            start += self.grid.tick
            self.verdicts.walked(judge.key, start)
        return done

    def _drawn(self, judge: SampledJudge, start: datetime) -> Iterator[LoggedAnswer]:
        """The answers of a window that are to be judged and were not yet."""
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        spread = max(DAY // self.grid.tick, 1)
        due = judge.a_day * min((start - day) // self.grid.tick + 1, spread) // spread
        end, known = start + self.grid.tick, self.verdicts.known(judge.key, start, start + self.grid.tick)
        quota = due - len(self.verdicts.known(judge.key, day, start))  # what was judged of this window is among its first ones
        every = sorted(logged_answers(self.log, self.files, start, end), key=lambda each: digest([judge.key, each.prediction]))
        yield from (answer for answer in every[: max(quota, 0)] if answer.prediction not in known)

    def _may(self, judge: SampledJudge) -> bool:
        """Whether a further answer may be judged today."""
        now = self.clock.now()
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        spent = self.verdicts.spent(judge.key, day, day + timedelta(days=1))
        if judge.dollars is not None and (spent.unpriced or spent.dollars >= judge.dollars):
            return False  # what has no price can't be kept within one
        return spent.answers < judge.a_day


def logged_answers(log: Path, files: Files, start: datetime, end: datetime) -> list[LoggedAnswer]:
    """What champions answered to questions received in [start, end), from the prediction log: no searches, refusals or unknowns."""
    logged = read_log(log, start, end, files)
    if logged is None:
        return []
    found, rows = list[LoggedAnswer](), logged.by(CHAMPION)
    for bundle in rows.values:
        own = rows.of(bundle)
        inputs, outputs = own.values[bundle]
        questions = inputs.column("question").to_pylist() if "question" in inputs.names else [None] * len(own)
        for place, row in enumerate(outputs.dicts()):
            if row.get("finish") in JUDGED and row.get("answer"):
                found.append(_answer(own.ids[place], bundle, from_epoch(int(own.received_us[place])), questions[place], row))
    return found


def _answer(prediction: str, bundle: str, received: datetime, question: Any, row: dict[str, Any]) -> LoggedAnswer:
    return LoggedAnswer(prediction, bundle, received, str(question or ""), str(row["answer"]), tuple(row.get("found_texts") or ()))


def _said(judge: SampledJudge, answer: LoggedAnswer) -> Said:
    try:
        return judge.ask(answer.question, answer.answer, answer.chunks)
    except Exception as error:
        logger.error("the judge %s failed: %r", judge.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        return Said(None, "failed")
