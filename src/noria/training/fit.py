"""Fitting a candidate: a probe, trained without the holdout, to judge the recipe; and the final model, trained on all.

Judging the final model itself would need data it has not seen, and leaving the newest weeks out of it costs more than
they can teach about it (on the flights year, a quarter of what retraining gains). So the probe is judged by the gates, and
the final model by its shadow on live traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.core.errors import UserMistake
from noria.core.progress import Progress, Tell, silence
from noria.core.randomness import Randomness
from noria.core.signature import Signature
from noria.data.rows import Rows, stacked
from noria.data.table import TableRows
from noria.evaluation.task import Reliability, Task
from noria.features.training_set import TrainingSet
from noria.models.attribution import attribute
from noria.models.export import Exported, Wanted, export
from noria.models.model import Model
from noria.models.runtimes.port import Runtime, RuntimeOptions
from noria.training.builder import Builder
from noria.training.out_of_sample import Probed, Remembered, answers_out_of_sample, remembered
from noria.training.trainer import Trainer, TrainerFailed

PARITY_ROWS = 2_000
ANSWERED_ROWS = 200  # of a training set whose answers are dear
ASKED_AT_ONCE = 8  # of these
# Of what was fitted here, by code of this project. One thread, as it is served: with more, ONNX Runtime rounds sums of a large batch
# otherwise, and a live answer at the edge of the reference would seem to be beyond it.
OPTIONS = RuntimeOptions(trust=True)


@dataclass(frozen=True)
class Fitted:
    """A trained candidate, as a runtime runs it, and what its probe said about the holdout.

    holdout: `(rows of the training set,)` true where the probe did not train; probe: its scores there
    answered: `(rows of the training set,)` true where the final model was asked: everywhere, unless answers are dear
    answers: what later answers are compared with: what it said there; where it remembers its rows, what models said that had not seen them
    remembered: whether it does
    proof: rows and the answers to them, of which some show a server that it has the model
    attribution: how much of them hangs on each feature `(features,)`, summing to 1
    seconds: wall time of the trainings (the probe's included)
    reliability: what its builder measured of its scores; None: nothing, or it has no builder
    """

    exported: Exported
    holdout: NDArray[np.bool_]
    probe: NDArray[np.float64]
    answered: NDArray[np.bool_]
    answers: Rows
    proof: tuple[Rows, Rows]
    attribution: NDArray[np.float64]
    seconds: float
    remembered: Remembered | None = None
    reliability: Reliability | None = None


def fit_candidate(model: Model, training_set: TrainingSet, randomness: Randomness, *, with_probe: bool, tell: Tell = silence) -> Fitted:
    """Train a candidate for `model`. Raises `TrainerFailed`, `CannotExport` or a complaint about too little data."""
    watch, task, features = Stopwatch(), model.task, training_set.features
    training = _Training(model, training_set, randomness.seed(f"train:{model.name}"))
    newest = training_set.moments.max()
    holdout = training_set.moments > newest - np.timedelta64(int(model.holdout_span.total_seconds()), "s")
    probed = Probed(*[Rows.unknown(task.outputs, 0)] * 2)
    if with_probe:
        _require_rows(model, training_set, holdout)
        tell(Progress("train", f"fitting the evaluation model on the {int((~holdout).sum()):,} rows before the holdout of {model.holdout}"))
        probed = Probed(*training.answers(~holdout, _newest(training_set, ~holdout), features.where(holdout)))
    else:
        holdout = np.zeros(len(training_set.labels), dtype=bool)
    tell(Progress("train", f"fitting the candidate on all {len(training_set.labels):,} rows"))
    final = training.exported(None, tell)
    tell(Progress("train", "evaluating, attributing and sealing it"))
    with final.opened(_signature(model, training_set), OPTIONS) as scorer:
        attribution = attribute(partial(_scores, task, scorer), features, randomness.seed(f"attribute:{model.name}"))
        answers = scorer.answer(features)
    proof, everywhere = (features, answers), np.ones(len(training_set.labels), np.bool_)
    known = remembered(task, probed, answers.where(holdout))
    if known is not None:
        tell(Progress("train", "fitting two models on half of the rows each: this one answers what it has learnt from otherwise"))
        known, answers = _unseen(known, answers, training, training_set)
    return Fitted(final, holdout, task.scores(probed.unseen), everywhere, answers, proof, attribution, watch.seconds, known)


def _unseen(known: Remembered, answers: Rows, training: _Training, training_set: TrainingSet) -> tuple[Remembered, Rows]:
    """The answers to compare later ones with, of a model that remembers its rows; its own, where halves of them can't be learnt from."""
    try:
        found = answers_out_of_sample(training_set, lambda learnt, asked: training.answers(learnt, asked)[0])
    except TrainerFailed:
        found = None
    return (replace(known, told_apart=False), answers) if found is None else (known, found)


@dataclass(frozen=True)
class _Training:
    """The trainer of a model with the rows and the seed of one candidate."""

    model: Model
    training_set: TrainingSet
    seed: int

    def exported(self, learnt: NDArray[np.bool_] | None, tell: Tell = silence) -> Exported:
        """A model that learned from those rows `(rows of the training set,)`, or from all."""
        trainer, model = self.model.trainer, self.model
        assert isinstance(trainer, Trainer), "a model is declared with a trainer or a builder"
        fitted = trainer(self.training_set.dataset(learnt, weights=model.weights), seed=self.seed, task=model.task)
        return _exported(model, fitted, self.training_set, tell)

    def answers(self, learnt: NDArray[np.bool_], *asked: Rows) -> list[Rows]:
        """What such a model says to rows, of each of them."""
        with self.exported(learnt).opened(_signature(self.model, self.training_set), OPTIONS) as scorer:
            return [scorer.answer(rows) for rows in asked]


def _newest(training_set: TrainingSet, among: NDArray[np.bool_]) -> Rows:
    """The newest rows among some, as many as the holdout has others."""
    places = np.flatnonzero(among)
    newest = places[np.argsort(training_set.moments[places], kind="stable")][-max(int((~among).sum()), 1) :]
    return training_set.features.take(np.sort(newest))


def build_candidate(
    model: Model, training_set: TrainingSet, facts: Mapping[str, TableRows], *, with_probe: bool, tell: Tell = silence
) -> Fitted:
    """Build a candidate for `model` from the facts of its builder's tables. It learns from no outcome, so that all of its answers can be
    judged; of the training set's rows it answers the newest."""
    watch, builder = Stopwatch(), model.trainer
    assert isinstance(builder, Builder), "a model is declared with a trainer or a builder"
    whole = {table.name: facts[table.name].whole for table in builder.tables}
    built = builder.build(whole, training_set.as_of, tell)
    exported = _exported(model, built, training_set, tell)
    answered = np.zeros(len(training_set.labels), np.bool_)
    answered[np.argsort(training_set.at, kind="stable")[-ANSWERED_ROWS:]] = True
    asked, parts = training_set.features.where(answered), list[Rows]()
    with exported.opened(_signature(model, training_set), OPTIONS) as opened:
        for at in range(0, len(asked), ASKED_AT_ONCE):
            tell(Progress("train", f"answering the newest {len(asked):,} questions", share=at / len(asked)))
            parts.append(opened.answer(asked.part(at, min(at + ASKED_AT_ONCE, len(asked)))))
        some = model.task.proving(asked.part(0, ASKED_AT_ONCE))
        proof = some, opened.answer(some)
    answers, count = stacked(parts), len(training_set.fields)
    holdout = answered if with_probe else np.zeros_like(answered)
    probe = model.task.scores(answers if with_probe else Rows.unknown(model.task.outputs, 0))
    told = getattr(built, "reliability", None)
    return Fitted(exported, holdout, probe, answered, answers, proof, np.full(count, 1 / count), watch.seconds, told)


@contextmanager
def opened(model: Model, fitted: Fitted) -> Iterator[Runtime]:
    """A fitted candidate, to be asked before it is sealed."""
    with fitted.exported.opened(Signature(fitted.proof[0].fields, model.task.outputs), OPTIONS) as found:
        yield found


def _exported(model: Model, fitted: Any, training_set: TrainingSet, tell: Tell = silence) -> Exported:
    rows = training_set.features
    some = rows.take(np.arange(0, len(rows), max(1, len(rows) // PARITY_ROWS)))
    task, signature = model.task, _signature(model, training_set)
    if not task.learns:
        some = some.take([])
    order, varies = task.grouped_by is not None, not task.learns
    wanted = Wanted(signature, some, task.bounds, model.trust, exclusive=task.exclusive, order=order, varies=varies)
    return export(fitted, wanted, tell)


def _signature(model: Model, training_set: TrainingSet) -> Signature:
    return Signature(training_set.fields, model.task.outputs)


def _scores(task: Task, model: Runtime, rows: Rows) -> NDArray[np.float64]:
    return task.scores(model.answer(rows))


def _require_rows(model: Model, training_set: TrainingSet, holdout: NDArray[np.bool_]) -> None:
    before = training_set.labels[~holdout]
    lacking = f"the {len(before):,} before it {model.task.lacking(before)}" if len(before) else "none lies before it"
    if not len(before) or model.task.lacking(before):
        raise UserMistake(
            what="there is too little history to train and evaluate a candidate",
            where=f"{len(holdout):,} labelled rows, of which {int(holdout.sum()):,} lie in the holdout of {model.holdout}; {lacking}",
            fix="train later, ingest more history, or shorten the model's holdout",
        )
