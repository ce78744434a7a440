"""Alike: whether an export answers rows as its original does.

Both may give no answer: an original raises or answers NaN, and an export fails or answers NaN. What the original answers, the export must
answer alike; what the original refuses, the export must not answer, but for values that no request means, such as infinity.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import Field
from noria.data.rows import Rows, width
from noria.models.export.comparison.edges import EXTREME, GIVEN, UNKNOWN, Probes, edge_changes
from noria.models.export.comparison.steps import Answers, step_changes
from noria.models.export.graphs.around import Core
from noria.models.export.lightgbm.parity import TOLERANCE
from noria.models.export.port import Wanted
from noria.models.runtimes.columns import Columns, answered
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import Runtime, UnloadableModel

CHUNK = 500  # rows that are asked together
MOST = 10_000  # of the rows given
ALONE = 3  # rows that are asked alone as well
LEAST = 1e-12  # the size of numbers that are all 0
SHOWN = 6  # values in a message


class Comparison:
    """An original with the rows on which its exports are compared with it."""

    def __init__(self, original: Callable[[Rows], NDArray[np.float64]], wanted: Wanted) -> None:
        """original: answers rows `(rows, scores)`, or raises anything"""
        given = wanted.rows if len(wanted.rows) else Rows.unknown(wanted.signature.inputs, 1)
        given = given.take(range(0, len(given), -(-len(given) // MOST)))
        self._outputs, self._probable = wanted.signature.outputs, not wanted.numbers
        answers = self._careful(original)
        self.probes = Probes.of(given, [*edge_changes(given), *step_changes(answers, given)])
        self.answers = answers(self.probes.rows)
        self.given = self.answers[: len(given)]

    def unlike(self, export: Runtime) -> str:
        """How an export's answers differ, in words; empty where they are alike."""
        found = self.asked(export)
        mine, theirs = _known(self.answers), _known(found)
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(self.answers - found)
            differing = ~(apart <= self._allowed()).all(axis=1)
        extreme = np.isin(self.probes.kinds, EXTREME)
        differing = np.where(mine, differing, theirs & ~extreme)
        return self._in_words(differing, found) if differing.any() else ""

    def refused(self, export: Runtime) -> list[str]:
        """The columns without whose value the original answers nothing, and the export does."""
        mine, theirs = _known(self.answers), _known(self.asked(export))
        without = [row for row, kind in enumerate(self.probes.kinds) if kind == UNKNOWN]
        places = {self.probes.columns[row] for row in without if theirs[row] and not mine[row]}
        taken = {self.probes.columns[row] for row in without if mine[row]}
        return [self.probes.rows.names[place] for place in sorted(places - taken)]

    def of_its_batch(self, export: Runtime) -> str:
        """Whether an export's answer to a row depends on the others of its batch, in words; empty where it does not."""
        answers = self._careful(lambda rows: scores_of(export.answer(rows), self._outputs))
        some = range(0, len(self.given), -(-len(self.given) // ALONE))
        alone = np.concatenate([answers(self.probes.rows.part(row, row + 1)) for row in some])
        apart = np.abs(alone - self.answers[list(some)])
        if (apart <= self._allowed()[list(some)]).all():
            return ""
        return f"its answer to a row depends on the other rows of the batch (by up to {np.max(apart):.2g}), and requests are batched"

    def asked(self, export: Runtime) -> NDArray[np.float64]:
        """What an export answers to the rows `(rows, scores)`, NaN where nothing."""
        return self._careful(lambda rows: scores_of(export.answer(rows), self._outputs))(self.probes.rows)

    def _careful(self, model: Callable[[Rows], NDArray[np.float64]]) -> Answers:
        return careful(model, sum(width(field) for field in self._outputs))

    def _allowed(self) -> NDArray[np.float64]:
        """How far each answer may lie from its original `(rows, scores)`, by the size of the answers to rows given, or by its own."""
        given = np.abs(np.where(np.isfinite(self.given), self.given, 0))
        return TOLERANCE * np.asarray(
            np.maximum(given.max(axis=0, initial=1.0 if self._probable else LEAST), np.abs(np.nan_to_num(self.answers)))
        )

    def _in_words(self, differing: NDArray[np.bool_], found: NDArray[np.float64]) -> str:
        of_kind: dict[tuple[str, int], list[int]] = {}
        for row, key in enumerate(zip(self.probes.kinds, self.probes.columns, strict=True)):
            of_kind.setdefault(key, []).append(row)
        kind, column = max(of_kind, key=lambda key: (key[0] == GIVEN and differing[of_kind[key]].any(), differing[of_kind[key]].mean()))
        rows = [row for row in of_kind[kind, column] if differing[row]]
        with np.errstate(invalid="ignore"):
            apart = np.nan_to_num(np.abs(self.answers - found), nan=np.inf)
        worst = max(rows, key=lambda row: float(apart[row].max()))
        score = int(apart[worst].argmax())
        names = self.probes.rows.names
        where = f" with {kind} in {names[column]!r}" if column >= 0 else "" if kind == GIVEN else f" with {kind} in several features"
        others = [place for place in range(len(names)) if place != column]
        values = self.probes.rows.part(worst, worst + 1).values()[0]
        example = ", ".join(f"{names[place]}={_told(values[place])}" for place in [*([column] if column >= 0 else []), *others][:SHOWN])
        mine, theirs = _told(self.answers[worst, score]), _told(found[worst, score])
        what = f"{GIVEN}s" if kind == GIVEN else f"rows{where}"
        return (
            f"as ONNX it answers {len(rows)} of {len(of_kind[kind, column])} {what} differently: {theirs} instead of {mine} where {example}"
        )


def answers_of(original: Any, wanted: Wanted) -> Callable[[Rows], NDArray[np.float64]]:
    """What an original answers to rows `(rows, scores)`, or what it raises. original: has `predict(columns)`"""
    outputs = wanted.signature.outputs
    return lambda rows: scores_of(answered(outputs, original.predict(Columns(rows)), len(rows)), outputs)


def alike(core: Core, comparison: Comparison, wanted: Wanted) -> bytes | str:
    """The bytes of a graph that answers as its original, or how it differs. What the original refuses, it is made to refuse."""
    try:
        model, exported = _opened(core, wanted)
        core.refusing = comparison.refused(model)
        if core.refusing:
            model, exported = _opened(core, wanted)
    except UnloadableModel as error:
        return f"ONNX Runtime refuses it: {error.where}"
    return comparison.unlike(model) or comparison.of_its_batch(model) or exported


def unlike(exported: bytes, comparison: Comparison, wanted: Wanted) -> bytes | str:
    """The bytes that were given, if they answer as their original; or how they differ."""
    try:
        model = OnnxModel(exported, signature=wanted.signature, silent=True)
    except UnloadableModel as error:
        return f"ONNX Runtime refuses it: {error.where}"
    return comparison.unlike(model) or comparison.of_its_batch(model) or exported


def _opened(core: Core, wanted: Wanted) -> tuple[OnnxModel, bytes]:
    exported = core.served(wanted.signature)
    return OnnxModel(exported, signature=wanted.signature, silent=True), exported


def scores_of(answers: Rows, outputs: tuple[Field, ...]) -> NDArray[np.float64]:
    """All numbers of answers `(rows, scores)`."""
    return answers.scores(outputs).reshape(len(answers), sum(width(field) for field in outputs))


def _known(answers: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(answers).all(axis=1))


def _told(value: Any) -> str:
    if isinstance(value, float):
        return "no answer" if np.isnan(value) else f"{value:.6g}"
    return repr(value)


def careful(model: Callable[[Rows], NDArray[np.float64]], scores: int) -> Answers:
    """The same model, that answers NaN where it raised: rows are asked together, and in halves where that fails."""

    def ask(rows: Rows) -> NDArray[np.float64] | None:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return np.asarray(model(rows), np.float64).reshape(len(rows), scores)
        except Exception:  # noqa: BLE001 - what a model raises of a row shares no base, and that it raises is what is asked
            return None

    def halves(rows: Rows) -> list[NDArray[np.float64]]:
        found = ask(rows)
        if found is not None or len(rows) == 1:
            return [np.full((1, scores), np.nan) if found is None else found]
        middle = len(rows) // 2
        return halves(rows.part(0, middle)) + halves(rows.part(middle, len(rows)))

    def answers(rows: Rows) -> NDArray[np.float64]:
        return np.concatenate(
            [part for start in range(0, len(rows), CHUNK) for part in halves(rows.part(start, min(len(rows), start + CHUNK)))]
        )

    return answers
