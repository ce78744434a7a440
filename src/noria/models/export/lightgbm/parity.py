"""Parity: whether an exported model answers as its original does, on the rows where exports go wrong.

Training rows say too little: a column that happens to hold no zero can't show that zeros are read differently. So a model is
compared, besides on the rows given, on edge values of every feature that it reads (zeros of both signs, NaN, infinities, tiny and huge
numbers, categories that do not exist), and on rows that reach its splits with values on and beside their thresholds.
Nothing is drawn by chance: equal models are compared on equal rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.models.export.lightgbm.trees import NEARLY_ZERO, BoostedTrees, Tree

TOLERANCE = 1e-5  # of a probability, or of the size of a number: float32 sums of a few hundred trees
MAX_EDGE_ROWS = 3_000
MAX_SPLITS = 1_000
MAX_BACKGROUNDS = 5

TRAINING = "training row"
ZERO, UNKNOWN = "0.0", "NaN"
UP, DOWN = np.float32(np.inf), np.float32(-np.inf)
GREATEST, AT_ZERO, ABOVE_ZERO = float(np.finfo(np.float32).max), float(NEARLY_ZERO), float(np.nextafter(NEARLY_ZERO, UP))
EDGES: tuple[tuple[str, float], ...] = (
    (ZERO, 0.0),
    ("-0.0", -0.0),
    (UNKNOWN, np.nan),
    ("infinity", np.inf),
    ("-infinity", -np.inf),
    ("a float32 next to 0", 1e-38),
    ("a float32 next to 0", -1e-38),
    ("a float32 next to 0", AT_ZERO),
    ("a float32 next to 0", -AT_ZERO),
    ("a float32 next to 0", ABOVE_ZERO),
    ("a float32 next to 0", -ABOVE_ZERO),
    ("the greatest float32", GREATEST),
    ("the least float32", -GREATEST),
)
SEEN, UNSEEN, NEGATIVE, FRACTION = "a known category", "an unseen category", "a negative category", "a category with a fraction"

Row = NDArray[np.float32]
Made = tuple[str, int | None, Row]  # why a row is there, of which feature (None: of all), and the row


@dataclass(frozen=True)
class ParityRows:
    """Rows `(rows, features)` float32; why each is there `kinds` `(rows,)`, and of which feature `features` `(rows,)`, -1 for all."""

    values: NDArray[np.float32]
    kinds: NDArray[np.str_]
    features: NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """The kind of row on which two models differ: how many of them there are and do, and the row where they differ most."""

    kind: str
    feature: int | None
    rows: int
    differing: int
    row: tuple[float, ...]
    original: float
    exported: float


def parity_rows(trees: BoostedTrees, given: NDArray[np.float32]) -> ParityRows:
    """The rows on which an export of `trees` is compared: `given` `(rows, features)`, and some thousands more at most."""
    backgrounds = [*given[:: -(-len(given) // MAX_BACKGROUNDS) or 1], _central(trees, given.shape[1])]
    made: list[Made] = [(TRAINING, None, row) for row in given]
    made += [(kind, None, np.full(given.shape[1], value, np.float32)) for kind, value in EDGES]
    made += _edge_rows(trees, backgrounds)
    with np.errstate(over="ignore"):  # the float32 above the greatest is infinity
        made += _split_rows(trees, backgrounds)
    kinds, features, rows = zip(*made, strict=True)
    return ParityRows(np.stack(rows), np.array(kinds), np.array([-1 if f is None else f for f in features]))


def furthest(original: NDArray[np.float64], exported: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each row's answers `(rows, scores)`, the one in which the two lie furthest apart `(rows,)`."""
    apart = np.abs(original - exported)
    apart[np.isnan(apart)] = np.inf
    apart[original == exported] = 0
    worst = apart.argmax(axis=1)[:, None]
    return np.take_along_axis(original, worst, axis=1)[:, 0], np.take_along_axis(exported, worst, axis=1)[:, 0]


def difference(rows: ParityRows, original: NDArray[np.float64], exported: NDArray[np.float64], allowed: float) -> Difference | None:
    """The kind of row on which the answers differ most often by more than is allowed; None where all are alike."""
    apart = np.abs(original - exported)
    apart[np.isnan(apart)] = np.inf  # an answer that is no number is like no other
    apart[original == exported] = 0  # both may be infinite
    differing = apart > allowed
    if not differing.any():
        return None
    kinds = [_of_kind(rows, kind, feature) for kind, feature in dict.fromkeys(zip(rows.kinds, rows.features, strict=True))]
    alike = max(kinds, key=lambda kind: (differing[kind].mean(), rows.kinds[kind[0]] == TRAINING, apart[kind].max()))
    worst = alike[np.argmax(apart[alike])]
    return Difference(
        kind=str(rows.kinds[worst]),
        feature=None if rows.features[worst] < 0 else int(rows.features[worst]),
        rows=len(alike),
        differing=int(differing[alike].sum()),
        row=tuple(rows.values[worst].tolist()),
        original=float(original[worst]),
        exported=float(exported[worst]),
    )


def _of_kind(rows: ParityRows, kind: str, feature: int) -> NDArray[np.int64]:
    return np.flatnonzero((rows.kinds == kind) & (rows.features == feature))


def _central(trees: BoostedTrees, features: int) -> Row:
    """A row amid the thresholds of every feature: the one background that is always there."""
    row = np.zeros(features, np.float32)
    limits: dict[int, list[float]] = {}
    for tree in trees.trees:
        for feature, limit in zip(tree.feature[~tree.categorical].tolist(), tree.limit[~tree.categorical].tolist(), strict=True):
            limits.setdefault(feature, []).append(limit)
    for feature, found in limits.items():
        row[feature] = sorted(found)[len(found) // 2]
    return row


def _edge_rows(trees: BoostedTrees, backgrounds: Sequence[Row]) -> Iterable[Made]:
    """Each edge value in each feature that is read, alone; in several features at once where there would be too many rows."""
    edges: list[tuple[str, Mapping[int, float]]] = [(kind, dict.fromkeys(trees.used, value)) for kind, value in EDGES]
    edges += _category_edges(trees.categories)
    most = MAX_EDGE_ROWS // len(edges)
    for kind, values in edges:
        features = list(values)
        groups = [group.tolist() for group in np.array_split(features, min(len(features), most))] if features else []
        for background in backgrounds[: max(1, most // max(1, len(groups)))]:
            for group in groups:
                row = background.copy()
                row[group] = [values[feature] for feature in group]
                yield kind, group[0] if len(group) == 1 else None, row


def _category_edges(categories: Mapping[int, list[int]]) -> list[tuple[str, Mapping[int, float]]]:
    def each(kind: str, of: Sequence[float]) -> tuple[str, Mapping[int, float]]:
        return kind, dict(zip(categories, of, strict=True))

    if not categories:
        return []
    lowest, highest = [codes[0] for codes in categories.values()], [codes[-1] for codes in categories.values()]
    return [
        each(SEEN, lowest),
        each(SEEN, highest),
        each(UNSEEN, [code + 1 for code in highest]),
        each(UNSEEN, [3e9] * len(categories)),  # beyond int32, to which LightGBM casts
        each(NEGATIVE, [-1.0] * len(categories)),
        each(FRACTION, [code + 0.5 for code in lowest]),
        each(FRACTION, [code + 0.75 for code in highest]),
        each(FRACTION, [-0.5] * len(categories)),
    ]


def _split_rows(trees: BoostedTrees, backgrounds: Sequence[Row]) -> Iterable[Made]:
    """Rows that reach a split, with values of its feature that pass it in each way; of splits evenly chosen among all."""
    splits = [(tree, split) for tree in trees.trees for split in range(len(tree.feature))]
    chosen = splits[:: -(-len(splits) // MAX_SPLITS) or 1]
    for number, (tree, split) in enumerate(chosen):
        reaching, feature = _reaching(tree, split, backgrounds[number % len(backgrounds)]), int(tree.feature[split])
        for kind, value in _around(tree, split):
            row = reaching.copy()
            row[feature] = value
            yield kind, feature, row


def _reaching(tree: Tree, split: int, background: Row) -> Row:
    """`background`, changed in the features by which the way to `split` is decided.

    On each feature the nearest split decides: where it goes left, its threshold is not above those that went left before; where
    it goes right, the next float32 is above all that went right before.
    """
    row = background.copy()
    decided: set[int] = set()
    for above, goes_left in tree.path(split):
        feature = int(tree.feature[above])
        if feature not in decided:
            decided.add(feature)
            row[feature] = _passing(tree, above, goes_left)
    return row


def _passing(tree: Tree, split: int, left: bool) -> float:
    if tree.categorical[split]:
        return float(tree.categories[split][0]) if left else -1.0
    limit = tree.limit[split]
    return float(limit if left else np.nextafter(limit, UP))


def _around(tree: Tree, split: int) -> Iterable[tuple[str, float]]:
    if tree.categorical[split]:
        lowest, highest = tree.categories[split][0], tree.categories[split][-1]
        return ((SEEN, lowest), (SEEN, highest), (FRACTION, highest + 0.5), (NEGATIVE, -1.0), (UNKNOWN, np.nan))
    on = tree.limit[split]
    return (
        ("the threshold of a split", on),
        ("the float32 above the threshold of a split", np.nextafter(on, UP)),
        ("the float32 below the threshold of a split", np.nextafter(on, DOWN)),
        (ZERO, 0.0),
        (UNKNOWN, np.nan),
    )
