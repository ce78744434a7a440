"""Deployments: a bundle opened, verified, warmed and proven to answer its own sample, ready to take traffic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.data.rows import Rows
from noria.models.bundle import Bundle, open_bundle, sample_of
from noria.models.columns import lacking
from noria.models.runtimes import open_runtime
from noria.models.runtimes.port import AsyncRuntime, ModelFailed, Runtime, RuntimeOptions, StreamingRuntime
from noria.serving.access.tenants import added_by_us
from noria.serving.batching.cache import AnswerCache
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.request import rows_of

logger = logging.getLogger("noria.serving")

GOLDEN_TOLERANCE = 1e-6

Then = Callable[[Rows | ModelFailed], None]


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
    """One bundle, ready to be asked. `golden` is a request of its sample and the answers that were sealed.

    apart: its model, where that is not in this process, so that whoever serves must not wait for it
    streaming: its model, where that may answer in parts
    cache: remembers answers by their features, where that was asked for
    """

    bundle: Bundle
    model: Runtime
    decoder: Decoder
    golden: bytes
    golden_answers: Rows
    cache: AnswerCache | None = None
    apart: AsyncRuntime | None = None
    streaming: StreamingRuntime | None = None

    @staticmethod
    def open(path: Path, files: Files, *, cached_rows: int = 0, options: RuntimeOptions | None = None) -> LoadedModel:
        """Open a bundle and let it answer its sample. Raises `DamagedBundle`, what its runtime raises, or `WrongAnswers`."""
        bundle = open_bundle(path, files)
        golden, answers = _golden(bundle, files)
        cache = AnswerCache(cached_rows) if cached_rows else None
        model = open_runtime(bundle, options)
        apart = model if isinstance(model, AsyncRuntime) else None
        streaming = model if isinstance(model, StreamingRuntime) and model.streams else None
        deployment = LoadedModel(bundle, model, Decoder(bundle.signature, added_by_us(bundle)), golden, answers, cache, apart, streaming)
        try:
            deployment.prove()
        except BaseException:
            model.close()
            raise
        return deployment

    @property
    def only_streams(self) -> bool:
        """Whether each of its answers takes its own time, so that none may wait for another: a model that makes parts, and nothing else."""
        return self.streaming is not None and not self.streaming.predicts and self.cache is None

    def close(self) -> None:
        """Let go of the model: it is asked nothing afterwards."""
        self.model.close()

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
        return _checked(rows, self.model.answer(rows)) if self.cache is None else self.cache.answer(rows, self._score)

    def _score(self, rows: Rows) -> Rows:
        return _checked(rows, self.model.answer(rows))

    def ask(self, rows: Rows, then: Then) -> None:
        """Have rows answered as `answer` does: at once where the model is in this process, otherwise when it has; `then` is called once."""
        if self.apart is None:
            try:
                found: Rows | ModelFailed = self.answer(rows)
            except ModelFailed as error:
                found = error
            then(found)
        elif self.cache is None:
            self._ask(self.apart, rows, then)
        else:
            self._ask_unknown(self.apart, self.cache, rows, then)

    @staticmethod
    def _ask(model: AsyncRuntime, rows: Rows, then: Then) -> None:
        def answered(found: Rows | ModelFailed) -> None:
            if isinstance(found, Rows):
                try:
                    found = _checked(rows, found)
                except ModelFailed as error:
                    found = error
            then(found)

        model.ask(rows, answered)

    def _ask_unknown(self, model: AsyncRuntime, cache: AnswerCache, rows: Rows, then: Then) -> None:
        known = cache.known(rows)
        if not known.unknown:
            then(cache.completed(known, None))
            return

        def answered(found: Rows | ModelFailed) -> None:
            then(cache.completed(known, found) if isinstance(found, Rows) else found)

        self._ask(model, rows.take(list(known.unknown.values())), answered)

    def prove(self) -> float:
        """The largest difference from the sealed answers, over the path that requests take. Raises `WrongAnswers`, `ModelFailed`."""
        return self._compared(self.model.answer(self._golden_rows()))

    async def proven(self) -> float:
        """The same, without waiting for a model that is not in this process."""
        if self.apart is None:
            return self.prove()
        answered: asyncio.Future[Rows | ModelFailed] = asyncio.get_running_loop().create_future()
        self.apart.ask(self._golden_rows(), lambda found: None if answered.done() else answered.set_result(found))
        found = await answered
        if not isinstance(found, Rows):
            raise found
        return self._compared(found)

    def _golden_rows(self) -> Rows:
        return rows_of([self.decoder.plain(self.golden)], self.bundle.signature.inputs)

    def _compared(self, found: Rows) -> float:
        if len(found) != len(self.golden_answers):
            raise WrongAnswers(self.bundle, f"{len(found)} predictions for {len(self.golden_answers)} rows")
        worst = max(found.differences(self.golden_answers), default=0.0)
        if not worst <= GOLDEN_TOLERANCE:
            raise WrongAnswers(self.bundle, f"a prediction differs by {worst:.2g}")
        return worst


def _checked(rows: Rows, answers: Rows) -> Rows:
    """The answers, if there is one for every row and their numbers are finite. Raises `ModelFailed`."""
    if len(answers) != len(rows):
        raise ModelFailed(f"it returned {len(answers)} answers for {len(rows)} rows")
    if not answers.finite():
        raise ModelFailed(f"it returned values that are not finite (NaN or infinity) among {len(rows)} answers")
    return answers


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
