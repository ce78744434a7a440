"""scikit-learn estimators and pipelines to ONNX, by skl2onnx.

What converts is compared with its original on edge rows and on the steps of its answers, first in float32, as trees and most others are
quickest, then in float64. Two things that converters get wrong are put right on a copy before: thresholds that compare float64 are rounded
down and not to the nearest, and a text that is unknown has a name.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.export.comparison.alike import Comparison, alike, answers_of
from noria.models.export.graphs.around import BLOCK, NULL_TEXT, OPSET, OPSET_ML, Core, fed
from noria.models.export.port import Wanted, kind_of
from noria.models.export.refusal import CannotExport, words_of
from noria.models.export.sklearn.forests import Splits
from noria.models.export.sklearn.imputers import converters
from noria.models.runtimes.formats import answering, is_estimator

MAX_NODES = 1_000_000  # of trees: so many take 15 s to convert
MAX_SIZE = 64_000_000  # bytes of a graph
MAX_HELD = 300_000  # numbers that each row is held against, as by neighbours: more take long for a server's own process
ROUNDED = 1e-6  # by which an answer may miss its bounds
OTHERWISE = "return an onnx.ModelProto of your own"
ABSENT = 'skl2onnx is not installed, and with `pip install "noria[sklearn]"` what converts is served as ONNX'
SCALED = {"div": "div"}  # by what they divide by, and not by a rounded inverse, which moves values past thresholds of trees
KINDS = ("float32", "float64")
LOCALE = "C.UTF-8"
HELD = ("_fit_X", "support_vectors_", "X_train_", "X_fit_")  # fitted rows that each row is held against


def export_estimator(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of a fitted estimator. Raises `CannotExport`, with `elsewhere` where Python may run it."""
    kind = kind_of(fitted)
    _refuse_others(fitted, wanted, kind)
    comparison, reasons = None, []
    for numbers in KINDS:
        try:
            core = _converted(fitted, wanted, numbers, kind)
        except CannotExport as error:
            reasons.append(error.reason)
            continue
        comparison = comparison or _comparison(fitted, wanted, kind)  # not before something converts: it asks thousands of rows
        found = alike(core, comparison, wanted)
        if isinstance(found, bytes):
            return found
        reasons.append(found)
    raise CannotExport(kind, "; in float64, ".join(dict.fromkeys(reasons)), OTHERWISE, elsewhere=True)


def _comparison(fitted: Any, wanted: Wanted, kind: str) -> Comparison:
    """What exports are compared with. Raises `CannotExport` where the original itself does not answer as it should."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # few rows at a time are asked; threads would wait for each other
        found = Comparison(answers_of(answering(fitted), wanted), wanted)
    _refuse_answers(found.given, wanted, kind)
    return found


def _refuse_others(fitted: Any, wanted: Wanted, kind: str) -> None:
    """Refuse what has no equal in ONNX, and what would take minutes to convert."""

    def refuse(reason: str, fix: str = OTHERWISE) -> None:
        raise CannotExport(kind, reason, fix, elsewhere=True)

    try:
        import skl2onnx  # noqa: F401
    except ImportError:
        refuse(ABSENT, 'run `pip install "noria[sklearn]"`')
    for each in wanted.signature.inputs:
        if each.shape or each.type in ("bytes", "timestamp"):
            refuse(f"its input {each.described} has no equal in scikit-learn's ONNX")
    classes = getattr(fitted, "classes_", None)
    if classes is not None and not callable(getattr(fitted, "predict_proba", None)):
        refuse("it answers with classes, and knows no probabilities")
    if isinstance(classes, list):
        refuse("its probabilities are a list, of several outputs")
    if wanted.exclusive and not _in_order(np.asarray(classes).tolist(), wanted):
        refuse(f"it knows the classes {', '.join(map(repr, np.asarray(classes).tolist()[:6]))}, and the task {wanted.scores}")
    nodes = sum(_nodes(part) for part in parts(fitted))
    if nodes > MAX_NODES:
        refuse(f"its trees have {nodes:,} nodes, and more than {MAX_NODES:,} take long to convert", "fit fewer or smaller trees")
    held = sum(int(np.prod(np.shape(getattr(part, name, ())))) for part in parts(fitted) for name in HELD if hasattr(part, name))
    if held > MAX_HELD:
        refuse(f"it holds each row against {held:,} numbers, and more than {MAX_HELD:,} take long", "fit it on fewer rows")


def _in_order(classes: Any, wanted: Wanted) -> bool:
    """Whether the classes of an estimator are the task's, or their places, in its order."""
    labels = [label for field in wanted.signature.outputs for label in field.labels]
    return bool(classes == list(range(wanted.scores)) or (isinstance(classes, list) and [str(each) for each in classes] == labels))


def _refuse_answers(answers: NDArray[np.float64], wanted: Wanted, kind: str) -> None:
    unknown = ~np.isfinite(answers).all(axis=1)
    if unknown.any():
        reason = f"it does not answer {int(unknown.sum())} of {len(answers)} training rows"
        raise CannotExport(kind, reason, "make it answer any row; a missing feature is to be imputed by the model", elsewhere=True)
    wrong = wanted.wrong(answers, ROUNDED)
    if wrong:
        raise CannotExport(kind, wrong, "make it return what the model's task asks for, such as a probability")


def _converted(fitted: Any, wanted: Wanted, numbers: str, kind: str) -> Core:
    """The graph that skl2onnx makes of an estimator. Raises `CannotExport`."""
    from skl2onnx import convert_sklearn

    names, single = _reads(fitted, wanted, kind)
    initial = _initial(wanted, names, single=single, numbers=numbers)
    opsets = {"": OPSET, "ai.onnx.ml": OPSET_ML}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            prepared, splits = _prepared(fitted)
            options = _options(prepared)
            model = convert_sklearn(prepared, initial_types=initial, options=options, target_opset=opsets, name="model", **converters())
            splits.restore(model, numbers)
            _lower_everywhere(model)
            _name_inputs(model, [name for name, _ in initial])
    except Exception as error:  # what converters raise shares no narrower base; raised again with its words
        raise CannotExport(kind, f"its converter refuses it: {words_of(error)}", OTHERWISE, elsewhere=True) from error
    if model.ByteSize() > MAX_SIZE:
        raise CannotExport(kind, f"as ONNX it has {model.ByteSize() / 1e6:,.0f} MB", "fit a smaller one", elsewhere=True)
    return Core(model, names, numbers, single=single, null_text=any(each.type == "string" for each in wanted.signature.inputs))


def _name_inputs(model: Any, names: list[str]) -> None:
    """The inputs are called as the columns are: the converter writes `_` for blanks and signs. It keeps their order, and drops those that
    nothing reads."""
    from skl2onnx.common._topology import Topology

    taken: set[str] = set()
    own = {Topology._generate_unique_name(name, taken): name for name in names}
    renamed = {each.name: own.get(each.name, each.name) for each in model.graph.input}
    for each in model.graph.input:
        each.name = renamed[each.name]
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _lower_everywhere(model: Any) -> None:
    """Letters are made small by the locale that every Linux has: the converter's own, en_US.UTF-8, is missing in slim images."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "StringNormalizer" and not any(each.name == "locale" for each in node.attribute):
            node.attribute.append(helper.make_attribute("locale", LOCALE))


def _options(prepared: Any) -> dict[int, Any]:
    from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

    scalers = StandardScaler | RobustScaler | MaxAbsScaler
    options: dict[int, Any] = {id(part): SCALED for part in parts(prepared) if isinstance(part, scalers)}
    if callable(getattr(prepared, "predict_proba", None)):
        options[id(prepared)] = {"zipmap": False}
    return options


def _reads(fitted: Any, wanted: Wanted, kind: str) -> tuple[list[str], bool]:
    """The columns that an estimator reads, and whether it tells them apart by name."""
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        names = wanted.signature.names
    lacking = [name for name in names if name not in wanted.signature.names]
    if lacking:
        raise CannotExport(kind, f"it was fitted on columns that the model does not read: {', '.join(map(str, lacking))}", elsewhere=True)
    texts = any(each.type == "string" for each in wanted.signature.inputs if each.name in names)
    by_name = any(type(part).__name__ == "ColumnTransformer" for part in parts(fitted)) and hasattr(fitted, "feature_names_in_")
    return [str(name) for name in names], by_name or texts


def _initial(wanted: Wanted, names: list[str], *, single: bool, numbers: str) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = FloatTensorType if numbers == "float32" else DoubleTensorType
    if not single:
        return [(BLOCK, number([None, len(names)]))]
    types = {each.name: fed(each.type) for each in wanted.signature.inputs}
    return [(name, StringTensorType([None, 1]) if types[name] == "string" else number([None, 1])) for name in names]


def _prepared(fitted: Any) -> tuple[Any, Splits]:
    """A copy that converts to what answers alike: its splits are numbered, and texts that are unknown have a name."""
    prepared, splits = copy.deepcopy(fitted), Splits()
    splits.number(parts(prepared))
    for part in parts(prepared):
        if getattr(part, "categories_", None) is not None:
            part.categories_ = [_named(values) for values in part.categories_]
        if type(part).__name__ == "SimpleImputer" and np.asarray(getattr(part, "statistics_", 0.0)).dtype.kind == "O":
            part.missing_values = NULL_TEXT
    return prepared, splits


def _named(values: Any) -> Any:
    """Categories that are texts, with a name for the one that is unknown; others as they are."""
    found = np.asarray(values)
    if found.dtype.kind != "O" or not any(isinstance(value, str) for value in found.tolist()):
        return values
    return np.array([value if isinstance(value, str) else NULL_TEXT for value in found.tolist()], object)


def parts(fitted: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """An estimator and every one that is in it."""
    seen = set() if seen is None else seen
    if id(fitted) in seen:
        return
    seen.add(id(fitted))
    if isinstance(fitted, list | tuple):
        inside: Any = fitted
    elif isinstance(fitted, np.ndarray):
        inside = fitted.ravel().tolist() if fitted.dtype == object else []
    elif isinstance(fitted, dict):
        inside = fitted.values()
    elif is_estimator(fitted) or callable(getattr(fitted, "get_params", None)) or hasattr(fitted, "calibrators"):
        yield fitted
        inside = list(vars(fitted).values())
    else:
        return
    for each in inside:
        yield from parts(each, seen)


def _nodes(part: Any) -> int:
    """How many nodes its trees have; those of forests are parts of their own."""
    tree = getattr(part, "tree_", None)
    return int(getattr(tree, "node_count", 0)) + sum(len(each.nodes) for stage in getattr(part, "_predictors", []) for each in stage)
