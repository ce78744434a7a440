"""Deployments: a bundle opened, verified, warmed and proven to answer its own sample, ready to take traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.models.bundle import Bundle, open_bundle, sample_of
from noria.models.runtime import OnnxModel
from noria.serving.protocols import Signature, feature_matrix

GOLDEN_TOLERANCE = 1e-6


class WrongAnswers(UserMistake):
    """A bundle's model does not answer its own sample as it did when it was sealed."""

    code = "NR-519"

    def __init__(self, bundle: Bundle, reason: str) -> None:
        self.bundle = bundle.id
        super().__init__(
            what=f"bundle {short(bundle.id)} does not answer its sample as it was sealed",
            where=reason,
            mend="it is not served; train again with the libraries that are installed here",
        )


@dataclass(frozen=True)
class Deployment:
    """One bundle in this process. `golden` is a request of its sample and the answers that were sealed."""

    bundle: Bundle
    model: OnnxModel
    signature: Signature
    golden: bytes
    golden_answers: tuple[float, ...]

    @staticmethod
    def open(path: Path, files: Files) -> Deployment:
        """Open a bundle and let it answer its sample. Raises `DamagedBundle`, `UnloadableModel` or `WrongAnswers`."""
        bundle = open_bundle(path, files)
        sample = sample_of(bundle, files)
        deployment = Deployment(
            bundle, OnnxModel.of(bundle), Signature(bundle.features), _request(bundle, sample), tuple(sample["predictions"])
        )
        deployment.prove()
        return deployment

    def prove(self) -> float:
        """The largest difference from the sealed answers, over the path that requests take. Raises `WrongAnswers`."""
        found = self.model.predict(feature_matrix([self.signature.plain(self.golden)]))
        if found.shape != (len(self.golden_answers),):
            raise WrongAnswers(self.bundle, f"{found.shape} answers for {len(self.golden_answers)} rows")
        worst = float(np.max(np.abs(found - np.array(self.golden_answers)), initial=0.0))
        if not worst <= GOLDEN_TOLERANCE:
            raise WrongAnswers(self.bundle, f"an answer is {worst:.2g} off")
        return worst


def _request(bundle: Bundle, sample: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"rows": [dict(zip(bundle.features, row, strict=True)) for row in sample["features"]]})
