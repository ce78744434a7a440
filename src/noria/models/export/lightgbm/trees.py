"""The trees of a LightGBM booster, read from its model text: what an export is made of and checked against.

The format is that of `Booster.model_to_string` (version 4). How a row passes a split is written in LightGBM's `tree.h`, in
`NumericalDecision` and `CategoricalDecision`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of a split's decision type; the two bits above them say what counts as missing
MISSING_ZERO = 1  # zeros and NaN count as missing; otherwise NaN alone does, or is read as 0
NEARLY_ZERO = np.float32(1e-35)  # what is no farther from 0 than this is read as 0
WORD = 32  # bits in a word of a set of categories


@dataclass(frozen=True)
class Tree:
    """One tree, its splits as arrays `(splits,)`, its leaf values `(leaves,)`.

    left, right: the next split, or -1 minus the leaf
    categories: the codes that go left, ascending; empty where a split has a threshold
    linear: its leaves answer with a linear function of the features, not with a constant
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    decision: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaves: NDArray[np.float64]
    categories: tuple[tuple[int, ...], ...]
    linear: bool

    @cached_property
    def limit(self) -> NDArray[np.float32]:
        """The greatest float32 that passes each split to the left, unless it counts as missing; no use where a split has categories."""
        return float32_thresholds(self.threshold)

    @cached_property
    def categorical(self) -> NDArray[np.bool_]:
        categorical: NDArray[np.bool_] = self.decision & CATEGORICAL > 0
        return categorical

    @property
    def diverts_zeros(self) -> NDArray[np.bool_]:
        """The splits that send a zero, as a missing value, elsewhere than the threshold would send it."""
        by_default, by_threshold = self.decision & DEFAULT_LEFT > 0, self.threshold >= 0
        diverts: NDArray[np.bool_] = ~self.categorical & (self.decision >> 2 == MISSING_ZERO) & (by_default != by_threshold)
        return diverts

    @cached_property
    def parents(self) -> dict[int, int]:
        return {int(child): split for split, children in enumerate(zip(self.left, self.right, strict=True)) for child in children}

    def path(self, split: int) -> list[tuple[int, bool]]:
        """The splits above `split`, the nearest first, and whether the way to it goes left there."""
        above = []
        while split in self.parents:
            parent = self.parents[split]
            above.append((parent, int(self.left[parent]) == split))
            split = parent
        return above


@dataclass(frozen=True)
class BoostedTrees:
    """A booster: its trees, and how their sum becomes an answer.

    objective: by LightGBM's name, `custom` where it was a function
    sigmoid: the factor of the sum in the logistic function
    outputs: trees in each iteration, one for each class
    averaged: the sum is divided by the number of iterations, as in a random forest
    root_of_labels: it was trained on the square roots of its labels, and squares their sum
    features: the columns that it was trained on
    """

    objective: str
    sigmoid: float
    outputs: int
    averaged: bool
    root_of_labels: bool
    features: int
    trees: tuple[Tree, ...]

    @property
    def iterations(self) -> int:
        return len(self.trees) // self.outputs

    @cached_property
    def used(self) -> list[int]:
        """The features that some split reads."""
        return sorted({int(f) for tree in self.trees for f in tree.feature})

    @cached_property
    def diverting_zeros(self) -> list[int]:
        return sorted({int(f) for tree in self.trees for f in tree.feature[tree.diverts_zeros]})

    @cached_property
    def categories(self) -> dict[int, list[int]]:
        """The codes that some split of a categorical feature names, ascending."""
        found: dict[int, set[int]] = {}
        for tree in self.trees:
            for split in np.flatnonzero(tree.categorical):
                found.setdefault(int(tree.feature[split]), set()).update(tree.categories[split])
        return {feature: sorted(codes) for feature, codes in sorted(found.items())}


def read_trees(text: str) -> BoostedTrees:
    """A booster from its model text."""
    head, *rest = blocks(text)
    fields = _fields(head)
    objective, *options = fields.get("objective", "custom").split()
    return BoostedTrees(
        objective=objective,
        sigmoid=float(dict(option.split(":") for option in options if ":" in option).get("sigmoid", 1)),
        outputs=int(fields["num_tree_per_iteration"]),
        averaged="average_output" in head.split("\n"),
        root_of_labels="sqrt" in options,
        features=int(fields["max_feature_idx"]) + 1,
        trees=tuple(_tree(_fields(block)) for block in rest if block.startswith("Tree=")),
    )


def blocks(text: str) -> list[str]:
    """A model text in parts: its head, each of its trees, and what comes after them."""
    return re.split(r"(?m)^(?=Tree=\d+$|end of trees$)", text)


def float32_thresholds(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The thresholds by which float32 values go where LightGBM sends them, which compares them as float64.

    A float32 x satisfies x <= t exactly when it satisfies x <= the greatest float32 not above t. Rounding to the nearest
    instead, as exporters do, sends values that lie on a threshold down the other branch. And as LightGBM reads values next to 0 as 0,
    a threshold among these lies at their end.
    """
    down = rounded_down(thresholds)
    end = np.where(thresholds < 0, np.nextafter(-NEARLY_ZERO, np.float32(-np.inf)), NEARLY_ZERO)
    return np.where(np.abs(thresholds) <= NEARLY_ZERO, end, down)


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest float32 values that are not above thresholds."""
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is rounded down from there
        near = thresholds.astype(np.float32)
        return np.asarray(np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near))


def _fields(block: str) -> dict[str, str]:
    return {name: value for name, equals, value in (line.partition("=") for line in block.split("\n")) if equals}


def _tree(fields: dict[str, str]) -> Tree:
    def integers(name: str) -> NDArray[np.int64]:
        return np.array(fields.get(name, "").split(), np.int64)

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array(fields.get(name, "").split(), np.float64)

    threshold, decision = numbers("threshold"), integers("decision_type")
    bounds, words = integers("cat_boundaries"), integers("cat_threshold")
    sets = [_codes(words[start:end]) for start, end in pairwise(bounds)]
    return Tree(
        feature=integers("split_feature"),
        threshold=threshold,
        decision=decision,
        left=integers("left_child"),
        right=integers("right_child"),
        leaves=numbers("leaf_value"),
        categories=tuple(sets[int(t)] if d & CATEGORICAL else () for t, d in zip(threshold, decision, strict=True)),
        linear=fields.get("is_linear") == "1" and bool(integers("num_features").any()),
    )


def _codes(words: NDArray[np.int64]) -> tuple[int, ...]:
    some = np.flatnonzero(words)
    word, bit = np.nonzero((words[some, None] >> np.arange(WORD)) & 1)
    return tuple((WORD * some[word] + bit).tolist())
