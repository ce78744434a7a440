"""LightGBM boosters to ONNX.

LightGBM says more than ONNX's tree ensembles can. Some of it can be said in other words, with the same answers: thresholds as
float32; the average of a random forest and the factor of a sigmoid within the leaves; zeros that count as missing, and categories with a
fraction, by reading the features first. What can't be said is refused by name, and what was said has to pass `parity`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.export.lightgbm.parity import TOLERANCE, TRAINING, Difference, difference, furthest, parity_rows
from noria.models.export.lightgbm.trees import NEARLY_ZERO, BoostedTrees, blocks, float32_thresholds, read_trees
from noria.models.export.refusal import CannotExport
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import ModelFailed

OPSET = 15
LOGISTIC = ("binary", "cross_entropy")  # objectives whose answer is the logistic function of the trees' sum
PLAIN = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")  # whose answer is the sum
RANKING = ("lambdarank", "rank_xendcg")  # whose answer is the sum as well; only its order within a group means anything
EXPONENTIAL = ("poisson", "gamma", "tweedie")  # whose answer is the exponential function of it
SUMMED = (*PLAIN, *RANKING, *EXPONENTIAL)  # which a converter may read as a regression
EXACT_CODES = 2**24  # whole numbers beyond it are not all float32
SHOWN = 6  # values in a message
OTHERWISE = "train with other parameters, or return an onnx.ModelProto of your own"
BINARY = (
    "train a binary classifier (`objective: binary`) on the labels as they are given, 0 and 1; for a number, use task=nr.Regression(), "
    "for classes task=nr.Multiclass(…)"
)
CLASSES = "train with `objective: multiclass` and `num_class`, the number of the task's classes, on the labels as they are given"
ORDER = f"train with one of the objectives {', '.join((*RANKING, *PLAIN, *EXPONENTIAL))}, or a binary classifier"
NUMBER = f"train with one of the objectives {', '.join((*PLAIN, *EXPONENTIAL))}"


def export_booster(
    fitted: Any, check: NDArray[np.float32], names: Sequence[str], *, numbers: bool = False, scores: int = 1, order: bool = False
) -> bytes:
    """The ONNX bytes of a `lightgbm.Booster`, `LGBMClassifier`, `LGBMRegressor` or `LGBMRanker` of features `names`. numbers: whether
    answers are numbers of any size, and not probabilities; scores: how many a row, one for each class; order: whether only their order
    means anything. Raises `CannotExport`."""
    kind = f"lightgbm.{type(fitted).__name__}"
    booster = _booster(fitted, kind, numbers=numbers, scores=scores, order=order)
    text = booster.model_to_string()  # up to the best iteration where training stopped early, as `predict`
    trees = read_trees(text)
    _refuse_others(booster, trees, len(names), kind, numbers=numbers, scores=scores, order=order)
    exported = _converted(_exportable(text, trees), trees, kind)
    rows = parity_rows(trees, check)
    original = np.asarray(booster.predict(rows.values), np.float64).reshape(len(rows.values), -1)[:, -scores:]
    try:
        answers = OnnxModel(exported).answers(rows.values).reshape(len(rows.values), -1)[:, -scores:]
    except ModelFailed as error:
        raise CannotExport(kind, f"ONNX Runtime returns no result: {error.where}", OTHERWISE, elsewhere=True) from error
    allowed = TOLERANCE * max(1.0, float(np.abs(original[rows.kinds == TRAINING]).max(initial=0)))  # of the size of answers
    found = difference(rows, *furthest(original, answers), allowed)
    if found is not None:
        raise CannotExport(kind, _in_words(found, trees, names, allowed), _advice(trees, allowed), elsewhere=True)
    return exported


def fitted_booster(fitted: Any, *, numbers: bool = False, scores: int = 1, order: bool = False) -> Any:
    """The booster of a `lightgbm.Booster`, `LGBMClassifier`, `LGBMRegressor` or, for a ranking, `LGBMRanker`. Raises `CannotExport`."""
    return _booster(fitted, f"lightgbm.{type(fitted).__name__}", numbers=numbers, scores=scores, order=order)


def _booster(fitted: Any, kind: str, *, numbers: bool, scores: int, order: bool) -> Any:
    from lightgbm import Booster, LGBMClassifier, LGBMRanker, LGBMRegressor

    if isinstance(fitted, Booster):
        return fitted
    plain = (LGBMRegressor, *((LGBMRanker,) if order else ()))
    if not isinstance(fitted, LGBMClassifier) and not (numbers and isinstance(fitted, plain)):
        reason = "it is neither a regressor nor a binary classifier" if numbers else "it is not a binary classifier"
        raise CannotExport(kind, reason, _advised(numbers=numbers, order=order))
    if not fitted.__sklearn_is_fitted__():
        raise CannotExport(kind, "it is not fitted", "call its `fit` in the trainer")
    if isinstance(fitted, LGBMRegressor | LGBMRanker):
        return fitted.booster_
    classes = np.asarray(fitted.classes_)
    if scores > 1:
        if classes.tolist() == list(range(scores)):
            return fitted.booster_
        raise CannotExport(kind, f"it knows {len(classes)} classes, and the task {scores}", CLASSES, elsewhere=True)
    if len(classes) != 2 or classes.dtype.kind not in "biuf":
        shown = ", ".join(map(repr, classes.tolist()[:SHOWN]))
        raise CannotExport(kind, f"its classes are {shown}; two numbers are expected, the greater one for the outcome", BINARY)
    return fitted.booster_


def _advised(*, numbers: bool, order: bool) -> str:
    return ORDER if order else NUMBER if numbers else BINARY


def _refuse_others(booster: Any, trees: BoostedTrees, features: int, kind: str, *, numbers: bool, scores: int, order: bool) -> None:
    """Refuse a booster whose answers are not those of its task, or can't be those of trees with constant leaves."""
    if trees.features != features:
        reason = f"it was trained on {trees.features} features, and the model has {features}"
        raise CannotExport(kind, reason, "train on all features as they are given, in their order")
    if not trees.trees:
        raise CannotExport(kind, "it has no trees", "train it for at least one round")
    if scores > 1:
        _refuse_other_classes(trees, kind, scores)
    else:
        _refuse_objective(trees, kind, numbers=numbers, order=order)
    if any(tree.linear for tree in trees.trees):
        reason = "its leaves are linear functions (linear_tree), and in ONNX they are constants"
        raise CannotExport(kind, reason, "train without `linear_tree`", elsewhere=True)
    for categories in booster.pandas_categorical or []:
        if list(categories) != list(range(len(categories))):
            shown = ", ".join(map(repr, categories[:SHOWN]))
            reason = f"it was trained on pandas categories ({shown}), which it renumbers; requests hold the original numbers"
            raise CannotExport(kind, reason, "train on the features as they are given, with `categorical_feature`")


def _refuse_other_classes(trees: BoostedTrees, kind: str, classes: int) -> None:
    """Refuse an objective whose answers are not the chances of so many classes."""
    if trees.objective != "multiclass":
        what = "with scores that do not add up to 1" if trees.objective == "multiclassova" else "which has no chance for each class"
        raise CannotExport(kind, f"its objective is {trees.objective}, {what}", CLASSES)
    if trees.outputs != classes:
        raise CannotExport(kind, f"it was trained with num_class={trees.outputs}, and the task has {classes} classes", CLASSES)


def _refuse_objective(trees: BoostedTrees, kind: str, *, numbers: bool, order: bool) -> None:
    """Refuse an objective whose answers are no probabilities of an outcome; where numbers are expected, only what has no single answer."""
    wanted = _advised(numbers=numbers, order=order)
    if trees.outputs > 2 or trees.objective == "multiclassova":
        raise CannotExport(kind, f"its objective is {trees.objective}, with a score for each of {trees.outputs} classes", wanted)
    if trees.objective == "custom":
        raise CannotExport(kind, "its objective is a function: it returns raw scores, not probabilities", wanted)
    if trees.root_of_labels:
        raise CannotExport(kind, "it was trained on the roots of its labels (reg_sqrt)", "train without `reg_sqrt`")
    if trees.objective in RANKING and numbers:
        if order:
            return
        raise CannotExport(kind, f"its objective is {trees.objective}: it orders the rows of a group, and predicts no number", wanted)
    if trees.objective not in (*LOGISTIC, "multiclass", *((*PLAIN, *EXPONENTIAL) if numbers else ())):
        reason = "it does not return one number" if numbers else "it does not return the probability of an outcome"
        raise CannotExport(kind, f"its objective is {trees.objective}: {reason}", wanted)


def _exportable(text: str, trees: BoostedTrees) -> str:
    """The model text of trees that answer float32 rows the same, in words that exporters take notice of."""
    scale = (trees.sigmoid if trees.objective in LOGISTIC else 1.0) / (trees.iterations if trees.averaged else 1)
    lines = []
    for line in text.split("\n"):
        name, _, values = line.partition("=")
        if name == "threshold" and values:
            line = "threshold=" + _numbers(float32_thresholds(np.array(values.split(), np.float64)))
        elif name == "leaf_value" and scale != 1:
            line = "leaf_value=" + _numbers(scale * np.array(values.split(), np.float64))
        elif name == "objective" and trees.objective in LOGISTIC:
            line = "objective=binary sigmoid:1"
        elif line.startswith("[objective: ") and trees.objective in LOGISTIC:
            line = "[objective: binary]"
        elif name == "objective" and trees.objective in SUMMED:
            line = "objective=regression"
        elif line.startswith("[objective: ") and trees.objective in SUMMED:
            line = "[objective: regression]"
        if line != "average_output":
            lines.append(line)
    return _resized("\n".join(lines))


def _numbers(values: NDArray[Any]) -> str:
    return " ".join(repr(float(v)) for v in values)


def _resized(text: str) -> str:
    """A LightGBM model text whose `tree_sizes` are those of its trees, as its parser demands."""
    head, *trees = blocks(text)
    sizes = " ".join(str(len(tree.encode())) for tree in trees if tree.startswith("Tree="))
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head) + "".join(trees)


def _converted(text: str, trees: BoostedTrees, kind: str) -> bytes:
    try:
        from lightgbm import Booster
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError as error:
        raise MissingExtra(library="onnxmltools", extra="lightgbm", needed_for="exporting LightGBM models") from error
    shape = [("features", FloatTensorType([None, trees.features]))]
    try:
        model = convert_lightgbm(Booster(model_str=text), initial_types=shape, zipmap=False, target_opset=OPSET, name="model")
    except Exception as error:  # what the converter raises shares no narrower base; raised again with its words
        reason = f"its converter refuses it: {type(error).__name__}: {error}"
        raise CannotExport(kind, reason, OTHERWISE, elsewhere=True) from error
    if trees.diverting_zeros or trees.categories:
        _read_first(model, trees)
    if trees.objective in EXPONENTIAL:
        _exponential(model)
    return canonical_bytes(model)


def _read_first(model: Any, trees: BoostedTrees) -> None:
    """Put before the trees what LightGBM does within them: zeros that count as missing become NaN, and categories lose their fraction."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def apply(operator: str, *inputs: str) -> str:
        output = f"read_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], name=output))
        return output

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def columns(name: str, features: Sequence[int]) -> str:
        return constant(name, np.isin(np.arange(trees.features), features)[None])

    read = "features"
    if trees.diverting_zeros:
        zero = apply("Not", apply("Greater", apply("Abs", read), constant("nearly_zero", NEARLY_ZERO)))
        missing = apply("And", zero, columns("zeros_are_missing", trees.diverting_zeros))
        read = apply("Where", missing, constant("unknown", np.float32(np.nan)), read)
    if trees.categories:
        whole = apply("Mul", apply("Sign", read), apply("Floor", apply("Abs", read)))
        read = apply("Where", columns("categorical", list(trees.categories)), whole, read)
    for node in model.graph.node:
        node.input[:] = [read if name == "features" else name for name in node.input]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)


def _exponential(model: Any) -> None:
    """Put the exponential function behind the sum of the trees."""
    from onnx import helper

    [output] = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["sum_of_trees" if name == output.name else name for name in node.output]
    model.graph.node.append(helper.make_node("Exp", ["sum_of_trees"], [output.name], name="exponential"))


def _in_words(found: Difference, trees: BoostedTrees, names: Sequence[str], allowed: float) -> str:
    if found.kind == TRAINING:
        rows = f"{TRAINING}s"
    elif found.feature is None:
        rows = f"rows with {found.kind} in several features"
    else:
        rows = f"rows with {found.kind} in feature {names[found.feature]!r}"
    others = [feature for feature in trees.used if feature != found.feature]
    shown = ([] if found.feature is None else [found.feature]) + others
    example = ", ".join(f"{names[feature]}={found.row[feature]:g}" for feature in shown[:SHOWN])
    return (
        f"as ONNX it scores {found.differing} of {found.rows} {rows} differently, by up to {abs(found.original - found.exported):.2g} "
        f"(allowed {allowed:.2g}): {found.exported:.6g} instead of {found.original:.6g} where {example}"
    )


def _advice(trees: BoostedTrees, allowed: float) -> str:
    """What to change about a model whose export answers differently, by the causes that are seen in it."""
    if any(codes[-1] > EXACT_CODES for codes in trees.categories.values()):
        return f"number the categories from 0: codes beyond {EXACT_CODES:,} are not all float32"
    if any(f in trees.categories for tree in trees.trees for f in tree.feature[~tree.categorical].tolist()):
        return "let each feature be categorical in all trees, or in none"
    if trees.diverting_zeros:
        return "train all trees with the same `zero_as_missing`"
    if sum(float(np.abs(tree.leaves).max(initial=0)) for tree in trees.trees) > allowed / np.finfo(np.float32).eps:
        return "its leaf values are too large for sums of float32: train with a smaller learning rate, or more regularization"
    return OTHERWISE
