"""Bets against a mean of values between 0 and 1: evidence that it is too low, whatever they are distributed like.

While the mean of each value, given those before it, is at least `limit`, each factor 1 + λ(limit − x) is an e-value for any λ between 0 and
1/(1 − limit) (Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, section 4). Factors
accumulate over all possible beginnings of a fall: R ← (1 + R)·E is an e-detector, and the chance that it reaches c within n values is n/c
at most (Shin, Ramdas & Rinaldo 2024, theorem 2.4, and Markov's inequality for R − n). Several λ are averaged, since nobody knows by how
much the mean will fall.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.statistics.e_detector import MAX_EVIDENCE

Floats = NDArray[np.float64]

STAKES = (0.05, 0.15, 0.3, 0.5, 0.75, 0.95)  # of the largest possible λ


def evidence_of_fall(values: Floats, limit: float) -> Floats:
    """The evidence after each of some values `(n,)` in [0, 1] that their mean has fallen below a limit between 0 and 1, itself excluded.

    Raises ValueError for other values or limits.
    """
    x = np.asarray(values, np.float64)
    if not 0 < limit < 1:
        raise ValueError(f"a limit of {limit:g} does not lie between 0 and 1")
    if len(x) and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"values from {x.min():g} to {x.max():g} do not lie between 0 and 1")
    found = np.zeros(len(x))
    for stake in STAKES:
        evidence, path = 0.0, list[float]()
        for factor in (1 + stake / (1 - limit) * (limit - x)).tolist():  # plain numbers: each needs the one before
            evidence = min((1 + evidence) * factor, MAX_EVIDENCE)
            path.append(evidence)
        found += np.array(path) / len(STAKES)
    return found
