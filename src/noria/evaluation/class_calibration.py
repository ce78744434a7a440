"""Calibration of several classes: whether the class that is answered comes about as often as its probability says, and each class as often
as it is given.

The first is the confidence calibration of Guo et al. (2017, "On calibration of modern neural networks"), with the error over ten bins; the
second is that of one class against the rest (`noria.evaluation.calibration`), each at a share of the level (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.calibration import LEVEL, MIN_UNITS, Calibration, expected_error, measure_calibration

Floats = NDArray[np.float64]

SHOWN = 5  # classes in a summary


@dataclass(frozen=True)
class ClassCalibration:
    """How scores of `rows` rows in `units` windows compare with their classes.

    error: the expected calibration error of the class that is answered; confidence: how likely it was called; right: how often it came
    classes: of each class that can be measured, against the rest
    """

    rows: int
    units: int
    error: float
    confidence: float
    right: float
    classes: Mapping[str, Calibration]

    @property
    def missed(self) -> list[str]:
        """The classes whose scores are no calibrated probabilities, the worst first."""
        level = LEVEL / max(len(self.classes), 1)
        return sorted((name for name, found in self.classes.items() if found.p < level), key=lambda name: -self.classes[name].error)

    @property
    def summary(self) -> str:
        """What was measured, in two sentences."""
        figures = (
            f"On {self.rows:,} rows of {self.units} windows that the evaluated model had not seen, the class that it answers was called "
            f"{self.confidence:.1%} likely and came about in {self.right:.1%} (expected calibration error {self.error:.3f})."
        )
        if not self.missed:
            return (
                f"{figures} The probabilities of {len(self.classes)} classes, each against the rest, are consistent with calibrated ones."
            )
        shown = ", ".join(f"{name} (error {self.classes[name].error:.3f})" for name in self.missed[:SHOWN])
        more = f" and {len(self.missed) - SHOWN} more" if len(self.missed) > SHOWN else ""
        return f"{figures} Not calibrated are the probabilities of {shown}{more}: use them to rank, or recalibrate them."

    def to_dict(self) -> dict[str, float]:
        told = {"rows": self.rows, "units": self.units, "error": self.error, "confidence": self.confidence, "right": self.right}
        return {**told, **{f"{name}.error": found.error for name, found in self.classes.items()}}


def measure_class_calibration(names: Sequence[str], outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> ClassCalibration | None:
    """The calibration of scores `(rows, classes)` of classes `(rows,)`, by windows `unit` `(rows,)`; None of under five windows."""
    units = len(np.unique(unit))
    if units < MIN_UNITS:
        return None
    right, confidence = (scores.argmax(axis=1) == outcomes).astype(np.float64), scores.max(axis=1)
    found = {name: measure_calibration((outcomes == i).astype(np.float64), scores[:, i], unit) for i, name in enumerate(names)}
    return ClassCalibration(
        rows=len(outcomes),
        units=units,
        error=expected_error(right, confidence),
        confidence=float(confidence.mean()),
        right=float(right.mean()),
        classes={name: each for name, each in found.items() if each is not None},
    )
