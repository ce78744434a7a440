"""Fitting a candidate: a probe, trained without the holdout, to judge the recipe; and the final model, trained on all.

Judging the final model itself would need data it has not seen, and leaving the newest weeks out of it costs more than
they can teach about it (on the flights year, a quarter of what retraining gains). So the probe is judged by the gates, and
the final model by its shadow on live traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.core.errors import UserMistake
from noria.core.progress import Progress, Tell, silence
from noria.core.randomness import Randomness
from noria.core.signature import PREDICTION, SCORE, Signature
from noria.data.rows import Fields, Rows
from noria.features.fields import is_block
from noria.features.training_set import TrainingSet
from noria.models.attribution import attribute
from noria.models.export import to_onnx
from noria.models.model import Model
from noria.models.runtime import OnnxModel
from noria.training.trainer import Trainer

PARITY_ROWS = 2_000


@dataclass(frozen=True)
class Fitted:
    """A trained candidate, as ONNX, and what its probe said about the holdout.

    holdout: `(rows of the training set,)` true where the probe did not train; probe: its predictions there
    in_sample: the final model's predictions on the whole training set
    attribution: how much of them hangs on each feature `(features,)`, summing to 1
    seconds: wall time of the trainings (the probe's included)
    """

    model: bytes
    holdout: NDArray[np.bool_]
    probe: NDArray[np.float64]
    in_sample: NDArray[np.float64]
    attribution: NDArray[np.float64]
    seconds: float


def fit_candidate(model: Model, training_set: TrainingSet, randomness: Randomness, *, with_probe: bool, tell: Tell = silence) -> Fitted:
    """Train a candidate for `model`. Raises `TrainerFailed`, `CannotExport` or a complaint about too little data."""
    watch = Stopwatch()
    trainer = _trainer(model)
    seed = randomness.seed(f"train:{model.name}")
    newest = training_set.at.max()
    holdout = training_set.at > newest - np.timedelta64(int(model.holdout_span.total_seconds()), "s")
    probe = np.empty(0)
    if with_probe:
        _require_rows(model, training_set, holdout)
        tell(Progress("train", f"fitting the evaluation model on the {int((~holdout).sum()):,} rows before the holdout of {model.holdout}"))
        fitted = export_fitted(trainer(training_set.dataset(~holdout), seed=seed), training_set)
        probe = _scores(fitted, training_set, training_set.features.where(holdout))
    else:
        holdout = np.zeros(len(training_set.labels), dtype=bool)
    tell(Progress("train", f"fitting the candidate on all {len(training_set.labels):,} rows"))
    final = export_fitted(trainer(training_set.dataset(), seed=seed), training_set)
    tell(Progress("train", "evaluating, attributing and sealing it"))
    scorer, features = _opened(final, training_set), training_set.features
    attribution = attribute(lambda rows: scorer.answer(rows).numbers(PREDICTION), features, randomness.seed(f"attribute:{model.name}"))
    return Fitted(final, holdout, probe, scorer.answer(features).numbers(PREDICTION), attribution, watch.seconds)


def _opened(model: bytes, training_set: TrainingSet) -> OnnxModel:
    return OnnxModel(model, threads=2, signature=Signature(training_set.fields, (SCORE,)))


def _scores(model: bytes, training_set: TrainingSet, rows: Rows) -> NDArray[np.float64]:
    return _opened(model, training_set).answer(rows).numbers(PREDICTION)


class NoTypedExport(UserMistake):
    """A model was trained on columns that no exporter takes yet."""

    code = "NR-262"

    def __init__(self, fields: Fields) -> None:
        others = [field.described for field in fields if not is_block([field])]
        self.columns = others
        super().__init__(
            what="a model that reads texts, times or lists can't be exported yet",
            where=", ".join(others),
            fix="return an ONNX model with an input for each feature, or give it numbers; the Python runtime, which will run any fitted "
            "model, is on its way",
        )


def export_fitted(fitted: Any, training_set: TrainingSet) -> bytes:
    """A fitted model as the runtime takes it: ONNX. Where features are no block of numbers, an ONNX model that reads each by its name is
    taken as it is. Raises `CannotExport`, `NoTypedExport`."""
    if not is_block(training_set.fields):
        if type(fitted).__name__ != "ModelProto":
            raise NoTypedExport(training_set.fields)
        return bytes(fitted.SerializeToString())
    features = training_set.features.block
    step = max(1, len(features) // PARITY_ROWS)
    return to_onnx(fitted, features=features.shape[1], check=features[::step], names=training_set.names)


def _trainer(model: Model) -> Trainer:
    if not isinstance(model.trainer, Trainer):
        raise UserMistake(
            what=f"the trainer of model {model.name!r} is a plain function",
            where="nr.Model(trainer=…)",
            fix="put `@nr.trainer` above the function",
        )
    return model.trainer


def _require_rows(model: Model, training_set: TrainingSet, holdout: NDArray[np.bool_]) -> None:
    before = training_set.labels[~holdout]
    lacking = f"the {len(before):,} before it {model.task.lacking(before)}" if len(before) else "none lies before it"
    if not len(before) or model.task.lacking(before):
        raise UserMistake(
            what="there is too little history to train and evaluate a candidate",
            where=f"{len(holdout):,} labelled rows, of which {int(holdout.sum()):,} lie in the holdout of {model.holdout}; {lacking}",
            fix="train later, ingest more history, or shorten the model's holdout",
        )
