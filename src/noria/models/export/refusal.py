"""What is said of a fitted model that is not exported."""

from __future__ import annotations

import re

from noria.core.errors import UserMistake

RETURNED = "the trainer's return value"  # the reason where there is nothing more to say of a kind


def words_of(error: Exception) -> str:
    """What a converter raised, as far as it says something of the model: without its advice to report it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {re.split(r' You may raise an is', lines[0])[0] if lines else ''}"


class CannotExport(UserMistake):
    """A trainer returned something that has no way to ONNX, or none on which its answers stay what they are."""

    code = "NR-303"

    def __init__(
        self,
        kind: str,
        reason: str = RETURNED,
        fix: str = "return a lightgbm.Booster, a lightgbm.LGBMClassifier or an onnx.ModelProto",
        *,
        elsewhere: bool = False,
    ) -> None:
        """elsewhere: whether nothing is wrong with the model itself, so that another exporter may know a way."""
        self.kind, self.reason, self.way, self.elsewhere = kind, reason, fix, elsewhere
        super().__init__(what=f"this {kind} can't be exported to ONNX", where=reason, fix=f"{fix}; nothing was registered")
