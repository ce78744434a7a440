"""The trees of scikit-learn in ONNX, with thresholds and ways for unknown values that are theirs.

Converters round thresholds of float64 to the nearest float32, so that values beside one go the other way, and don't know where trees and
forests send a value that is unknown. So on a copy of the estimator each split gets its number for a threshold; the converter takes it
along; and in the graph it is read again and becomes what the split says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.export.lightgbm.trees import rounded_down

THRESHOLDS = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
LEAF = b"LEAF"


@dataclass
class Splits:
    """Every split of some trees, by its number. floats: whether its tree reads float32, whatever it is given; left: whether an unknown
    value goes left, None where the converter knows it"""

    thresholds: list[float] = field(default_factory=list)
    left: list[int | None] = field(default_factory=list)
    floats: list[bool] = field(default_factory=list)

    def number(self, parts: Iterable[Any]) -> None:
        """Give the splits of estimators their numbers for thresholds."""
        for part in parts:
            tree = getattr(part, "tree_", None)
            if tree is not None:
                tree.threshold[:] = self._numbered(tree.threshold, tree.missing_go_to_left.tolist(), floats=True)
            for each in (predictor for stage in getattr(part, "_predictors", []) for predictor in stage):
                values = each.nodes["num_threshold"]
                each.nodes["num_threshold"] = self._numbered(values, [None] * len(values), floats=False)

    def _numbered(self, thresholds: NDArray[np.float64], left: list[int | None], *, floats: bool) -> NDArray[np.float64]:
        start = len(self.thresholds)
        self.thresholds += thresholds.tolist()
        self.left += left
        self.floats += [floats] * len(left)
        return np.arange(start, len(self.thresholds), dtype=np.float64)

    def restore(self, model: Any, numbers: str) -> None:
        """Give the trees of a graph their thresholds back. numbers: the type in which it computes"""
        if not self.thresholds:
            return
        nodes = []
        for node in model.graph.node:
            nodes += self._restored(node, numbers) if node.op_type in THRESHOLDS else [node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        if numbers == "float64":
            del model.graph.value_info[:]
            for each in model.opset_import:
                each.version = 3 if each.domain == "ai.onnx.ml" else each.version

    def _restored(self, node: Any, numbers: str) -> list[Any]:
        from onnx import helper

        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        splits = np.array([mode != LEAF for mode in given["nodes_modes"]])
        which = np.where(splits, np.rint(given["nodes_values"]).astype(np.int64), 0)
        floats = bool(splits.any()) and self.floats[int(which[splits][0])]
        thresholds = np.where(splits, np.array(self.thresholds)[which], 0.0)
        own = given.get("nodes_missing_value_tracks_true") or [0] * len(splits)
        left = [own[i] if self.left[n] is None or not s else self.left[n] for i, (n, s) in enumerate(zip(which, splits, strict=True))]
        double = numbers == "float64" and not floats
        for name in ("nodes_values", "nodes_missing_value_tracks_true"):
            kept = [each for each in node.attribute if each.name != name]
            del node.attribute[:]
            node.attribute.extend(kept)
        node.attribute.append(helper.make_attribute("nodes_missing_value_tracks_true", [int(each) for each in left]))
        if double:
            node.attribute.append(helper.make_attribute("nodes_values_as_tensor", _tensor("values", thresholds)))
            self._as_doubles(node)
        else:
            node.attribute.append(helper.make_attribute("nodes_values", rounded_down(thresholds).tolist()))
        return [node] if numbers == "float32" else _between_casts(node, floats=floats)

    @staticmethod
    def _as_doubles(node: Any) -> None:
        """Weights, too, have to be of the type of the thresholds."""
        from onnx import helper

        for each in list(node.attribute):
            if each.name in ("class_weights", "target_weights", "base_values", "nodes_hitrates"):
                values = np.array(helper.get_attribute_value(each), np.float64)
                node.attribute.remove(each)
                node.attribute.append(helper.make_attribute(f"{each.name}_as_tensor", _tensor(each.name, values)))


def _between_casts(node: Any, *, floats: bool) -> list[Any]:
    """Trees that are given doubles and answer float32, between doubles."""
    from onnx import TensorProto, helper

    scores = node.output[-1]
    node.output[len(node.output) - 1] = f"{scores}_narrow"
    found = [node, helper.make_node("Cast", [f"{scores}_narrow"], [scores], to=TensorProto.DOUBLE)]
    if floats:
        given = node.input[0]
        node.input[0] = f"{scores}_given"
        found.insert(0, helper.make_node("Cast", [given], [f"{scores}_given"], to=TensorProto.FLOAT))
    return found


def _tensor(name: str, values: NDArray[np.float64]) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(values, name)
