"""XGBoost boosters to ONNX, by onnxmltools."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from noria.core.signature import dense_type
from noria.models.export.comparison.alike import Comparison, alike, answers_of
from noria.models.export.graphs.around import BLOCK, OPSET, Core
from noria.models.export.port import Wanted, kind_of
from noria.models.export.refusal import CannotExport, words_of
from noria.models.runtimes.formats import XgboostBooster

PROBABILITIES = ("binary:logistic", "reg:logistic")
NUMBERS = (
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
)
ORDER = ("rank:ndcg", "rank:map", "rank:pairwise")
CLASSES = "multi:softprob"
ABSENT = 'onnxmltools is not installed, and with `pip install "noria[xgboost]"` what converts is served as ONNX'
OTHERWISE = "return an onnx.ModelProto of your own"


def export_xgboost(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of an XGBoost model. Raises `CannotExport`, with `elsewhere`, where its own format says what ONNX does not."""
    kind, booster = kind_of(fitted), booster_of(fitted, wanted)
    if booster is None:
        raise CannotExport(kind, "it does not answer as its booster alone does, or not as the task asks", OTHERWISE, elsewhere=True)
    if dense_type(wanted.signature.inputs) != "float32":
        raise CannotExport(kind, "its inputs are not all float32", OTHERWISE, elsewhere=True)
    core = Core(_converted(booster, wanted, kind), wanted.signature.names, "float32")
    found = alike(core, Comparison(answers_of(XgboostBooster(booster), wanted), wanted), wanted)
    if isinstance(found, str):
        raise CannotExport(kind, found, OTHERWISE, elsewhere=True)
    return found


def _converted(booster: Any, wanted: Wanted, kind: str) -> Any:
    try:
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError as error:
        raise CannotExport(kind, ABSENT, 'run `pip install "noria[xgboost]"`', elsewhere=True) from error
    shape = [(BLOCK, FloatTensorType([None, len(wanted.signature.inputs)]))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert_xgboost(booster, initial_types=shape, target_opset=OPSET, name="model")
    except Exception as error:  # what converters raise shares no narrower base; raised again with its words
        raise CannotExport(kind, f"its converter refuses it: {words_of(error)}", OTHERWISE, elsewhere=True) from error


def booster_of(fitted: Any, wanted: Wanted) -> Any:
    """The booster of an XGBoost model with the trees that it answers by; None for one whose answer its JSON alone does not give."""
    import xgboost

    booster = fitted
    if isinstance(fitted, xgboost.XGBClassifier | xgboost.XGBRegressor | xgboost.XGBRanker):
        classes = 2 if wanted.scores == 1 else wanted.scores
        others = isinstance(fitted, xgboost.XGBClassifier) and len(fitted.classes_) != classes
        if others or not np.isnan(fitted.missing):
            return None
        best = fitted.get_booster().attr("best_iteration")
        booster = fitted.get_booster() if best is None else fitted.get_booster()[: int(best) + 1]
    if not isinstance(booster, xgboost.Booster):
        return None
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if wanted.scores > 1:
        return booster if objective == CLASSES and not wanted.numbers else None
    known = NUMBERS if wanted.numbers else PROBABILITIES
    return booster if objective in (*known, *(ORDER if wanted.order else ())) else None
