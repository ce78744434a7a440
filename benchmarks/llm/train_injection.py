"""Trains the model of `noria.llm.guardrails.injection`, and writes it into the package: `python -m benchmarks.llm.train_injection`.

It learns from the templates of `attacks` and `harmless` and from docstrings, in windows as the rule reads them. `bastioncorpus` and
other sets of others are never read here. scikit-learn fits it; the package has its weights alone.
"""

from __future__ import annotations

import random
from collections.abc import Collection

import numpy as np

from benchmarks.llm.attacks import FAMILIES, attacks, disguises
from benchmarks.llm.harmless import LEARNED, documents, encoded, harmless
from noria.llm.guardrails.injection import MODEL
from noria.llm.guardrails.ngrams import WORD, LinearModel, features
from noria.llm.guardrails.plain_text import disguised, folded

BITS = 17
SEED = 7
STRENGTH = 30.0  # C of the logistic regression: chosen by families left out, see `held_out`


def learned(
    without: Collection[str] = (), seed: int = SEED, size: int = 900, templates: dict[str, tuple[str, ...]] | None = None
) -> tuple[list[str], list[int]]:
    """Texts and labels. without: families that are left out, so that they measure what was never seen"""
    rng = random.Random(seed)
    benign = harmless("questions", 3 * size, seed) + harmless("near misses", 5 * size, seed, (templates or {}).get("near misses"))
    benign += harmless("other languages", size, seed) + documents(LEARNED, 9 * size, seed)
    bad = list[str]()
    for family in FAMILIES:
        if family not in without:
            bad += attacks(family, 2 * size if family == "other languages" else size, seed)
    for disguise in ("typing errors", "leetspeak"):
        if disguise not in without:
            bad += [text for text in disguises(disguise, size // 4, seed) if not without]
    mixed = [_among(text, rng.choice(benign), rng) for text in bad if rng.random() < 0.5]
    views = [view for text in rng.sample(benign, size) for view in disguised(text)] + encoded(rng.sample(benign, size // 3), seed)
    views += [f"{rng.choice(benign)} {rng.choice(benign)}" for _ in range(size)]
    bad += mixed
    good = [part for text in benign + views for part in _parts(folded(text))]
    return [folded(text) for text in bad] + good, [1] * len(bad) + [0] * len(good)


def _among(text: str, other: str, rng: random.Random) -> str:
    """An attack among other words, few enough that a window has most of it."""
    words = other.split()[: rng.randint(3, 16)]
    return f"{' '.join(words)} {text}" if rng.random() < 0.5 else f"{text} {' '.join(words)}"


def _parts(text: str) -> list[str]:
    """Windows of a harmless text: the whole, and a short part, since the rule reads both."""
    words = [found.span() for found in WORD.finditer(text)]
    if len(words) <= 16:
        return [text]
    start = (len(text) * 7919) % (len(words) - 14)
    return [text[words[0][0] : words[min(len(words), 40) - 1][1]], text[words[start][0] : words[start + 13][1]]]


def fitted(texts: list[str], labels: list[int], bits: int = BITS, strength: float = STRENGTH) -> LinearModel:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    columns, values, ends = list[np.ndarray](), list[np.ndarray](), [0]
    for text in texts:
        found, counts = np.unique(features(text, bits), return_counts=True)
        columns.append(found)
        values.append(counts / max(counts.sum(), 1) ** 0.5)
        ends.append(ends[-1] + len(found))
    block = csr_matrix((np.concatenate(values).astype(np.float32), np.concatenate(columns), ends), shape=(len(texts), 1 << bits))
    model = LogisticRegression(C=strength, solver="liblinear", class_weight="balanced", random_state=SEED).fit(block, labels)
    return LinearModel(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def main() -> None:
    texts, labels = learned()
    model = fitted(texts, labels)
    model.write(MODEL)
    again = LinearModel.read(MODEL)
    print(f"{len(texts)} texts, {sum(labels)} attacks; {MODEL.name}: {MODEL.stat().st_size / 1000:.0f} kB, version {again.version}")


if __name__ == "__main__":
    main()
