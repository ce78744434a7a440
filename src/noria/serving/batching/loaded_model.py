"""Deployments: a bundle opened, verified, warmed and proven to answer its own sample, ready to take traffic."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.data.rows import Rows
from noria.models.bundle import MODEL_FILE, Bundle, open_bundle, sample_of
from noria.models.columns import lacking
from noria.models.runtime import ModelFailed, OnnxModel
from noria.serving.batching.cache import AnswerCache
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.request import rows_of

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
    """

    bundle: Bundle
    model: OnnxModel
    decoder: Decoder
    golden: bytes
    golden_answers: Rows
    cache: AnswerCache | None = None

    @staticmethod
    def open(path: Path, files: Files, *, cached_rows: int = 0) -> LoadedModel:
        """Open a bundle and let it answer its sample. Raises `DamagedBundle`, `UnloadableModel` or `WrongAnswers`."""
        bundle = open_bundle(path, files)
        golden, answers = _golden(bundle, files)
        cache = AnswerCache(cached_rows) if cached_rows else None
        deployment = LoadedModel(bundle, OnnxModel.of(bundle), Decoder(bundle.signature), golden, answers, cache)
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
        return self

    def inputs(self, rows: Rows) -> Rows:
        """What it reads of rows that it is given: its own, or those of a champion that it stands beside."""
        return rows.select(self.bundle.signature.inputs)

    def answer(self, rows: Rows) -> Rows:
        """An answer for every row, its numbers finite. Raises `ModelFailed`."""
        return self._score(rows) if self.cache is None else self.cache.answer(rows, self._score)

    def _score(self, rows: Rows) -> Rows:
        answers = self.model.answer(rows)
        if len(answers) != len(rows) or not answers.finite():
            raise ModelFailed(f"it returned {len(answers)} answers for {len(rows)} rows, or values that are not finite")
        return answers

    def prove(self) -> float:
        """The largest difference from the sealed answers, over the path that requests take. Raises `WrongAnswers`."""
        found = self.model.answer(rows_of([self.decoder.plain(self.golden)], self.bundle.signature.inputs))
        if len(found) != len(self.golden_answers):
            raise WrongAnswers(self.bundle, f"{len(found)} predictions for {len(self.golden_answers)} rows")
        worst = max(found.differences(self.golden_answers), default=0.0)
        if not worst <= GOLDEN_TOLERANCE:
            raise WrongAnswers(self.bundle, f"a prediction differs by {worst:.2g}")
        return worst


def _golden(bundle: Bundle, files: Files) -> tuple[bytes, Rows]:
    """The bundle's sample as a request, and its answers. Raises `WrongAnswers` if it is not what a sample is."""
    try:
        sample = sample_of(bundle, files)
        rows = [dict(zip(bundle.features, row, strict=True)) for row in sample["inputs"]]
        answers = Rows.of_values(bundle.signature.outputs, sample["outputs"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise WrongAnswers(bundle, f"its sample can't be read: {error!r}") from error
    if not rows or len(rows) != len(answers):
        raise WrongAnswers(bundle, f"its sample has {len(rows)} rows and {len(answers)} predictions")
    return msgspec.json.encode({"rows": rows}), answers
