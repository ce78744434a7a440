"""What is said of a fitted model that is not exported."""

from __future__ import annotations

from noria.core.errors import UserMistake


class CannotExport(UserMistake):
    """A trainer returned something that has no way to ONNX, or none on which its answers stay what they are."""

    code = "NR-303"

    def __init__(
        self,
        kind: str,
        reason: str = "the trainer's return value",
        fix: str = "return a lightgbm.Booster, a lightgbm.LGBMClassifier or an onnx.ModelProto",
    ) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(what=f"this {kind} can't be exported to ONNX", where=reason, fix=f"{fix}; nothing was registered")
