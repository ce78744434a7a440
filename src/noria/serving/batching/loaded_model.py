"""Deployments: a bundle opened, verified, warmed and proven to answer its own sample, ready to take traffic."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.models.bundle import MODEL_FILE, Bundle, open_bundle, sample_of
from noria.models.columns import lacking, places
from noria.models.runtime import ModelFailed, OnnxModel
from noria.serving.batching.cache import AnswerCache
from noria.serving.protocol.signature import Signature, feature_matrix

logger = logging.getLogger("noria.serving")

GOLDEN_TOLERANCE = 1e-6


class WrongAnswers(UserMistake):
    """A bundle's model does not answer its own sample as it did when it was sealed."""

    code = "NR-519"

    def __init__(self, bundle: Bundle, reason: str) -> None:
        self.bundle = bundle.id
        super().__init__(
            what=f"bundle {short(bundle.id)} does not reproduce the recorded predictions of its sample",
            where=reason,
            fix="it is not served; retrain with the libraries that are installed here",
        )


@dataclass(frozen=True)
class LoadedModel:
    """One bundle in this process. `golden` is a request of its sample and the answers that were sealed.

    cache: remembers answers by their features, where that was asked for
    places: where its inputs stand among those of the rows it is given; None: they are its own, in its order
    """

    bundle: Bundle
    model: OnnxModel
    signature: Signature
    golden: bytes
    golden_answers: tuple[float, ...]
    cache: AnswerCache | None = None
    places: NDArray[np.intp] | None = None

    @staticmethod
    def open(path: Path, files: Files, *, cached_rows: int = 0) -> LoadedModel:
        """Open a bundle and let it answer its sample. Raises `DamagedBundle`, `UnloadableModel` or `WrongAnswers`."""
        bundle = open_bundle(path, files)
        golden, answers = _golden(bundle, files)
        cache = AnswerCache(cached_rows) if cached_rows else None
        deployment = LoadedModel(bundle, OnnxModel.of(bundle), Signature(bundle.features), golden, answers, cache)
        deployment.prove()
        return deployment

    @property
    def megabytes(self) -> float:
        """The size of the model, as a file."""
        return self.bundle.file(MODEL_FILE).stat().st_size / 1e6

    def beside(self, champion: LoadedModel) -> LoadedModel | None:
        """The same bundle, ready for rows of the champion's inputs; None where those are not all that it reads."""
        missing = lacking(self.bundle, champion.bundle)
        if missing:
            logger.info("bundle %s is not scored here: the champion's inputs lack %s", short(self.bundle.id), ", ".join(missing))
            return None
        same = self.bundle.features == champion.bundle.features
        return replace(self, places=None if same else places(self.bundle, champion.bundle))

    def inputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """What it reads of rows that it is given, `(rows, inputs)` in its order."""
        return features if self.places is None else features[:, self.places]

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """A finite score for every row, `(rows, features)` → `(rows,)`. Raises `ModelFailed`."""
        return self._score(features) if self.cache is None else self.cache.answer(features, self._score)

    def _score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        predictions = self.model.predict(features)
        if predictions.shape != (len(features),) or not np.isfinite(predictions).all():
            raise ModelFailed(f"it returned shape {predictions.shape} for {len(features)} rows, or values that are not finite")
        return predictions

    def prove(self) -> float:
        """The largest difference from the sealed answers, over the path that requests take. Raises `WrongAnswers`."""
        found = self.model.predict(feature_matrix([self.signature.plain(self.golden)]))
        if found.shape != (len(self.golden_answers),):
            raise WrongAnswers(self.bundle, f"predictions of shape {found.shape} for {len(self.golden_answers)} rows")
        worst = float(np.max(np.abs(found - np.array(self.golden_answers)), initial=0.0))
        if not worst <= GOLDEN_TOLERANCE:
            raise WrongAnswers(self.bundle, f"a prediction differs by {worst:.2g}")
        return worst


def _golden(bundle: Bundle, files: Files) -> tuple[bytes, tuple[float, ...]]:
    """The bundle's sample as a request, and its answers. Raises `WrongAnswers` if it is not what a sample is."""
    try:
        sample = sample_of(bundle, files)
        rows = [dict(zip(bundle.features, row, strict=True)) for row in sample["features"]]
        answers = tuple(float(answer) for answer in sample["predictions"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise WrongAnswers(bundle, f"its sample can't be read: {error!r}") from error
    if not rows or len(rows) != len(answers):
        raise WrongAnswers(bundle, f"its sample has {len(rows)} rows and {len(answers)} predictions")
    return msgspec.json.encode({"rows": rows}), answers
