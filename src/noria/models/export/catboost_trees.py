"""CatBoost models to ONNX, by CatBoost's own exporter, where all features are numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from noria.core.signature import dense_type
from noria.models.export.comparison.alike import Comparison, alike, answers_of
from noria.models.export.graphs.around import Core
from noria.models.export.port import Wanted, kind_of
from noria.models.export.refusal import CannotExport, words_of
from noria.models.runtimes.formats import CatboostModel

OTHERWISE = "return an onnx.ModelProto of your own"


def export_catboost(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of a CatBoost model. Raises `CannotExport`, with `elsewhere`: CatBoost's own format says what ONNX does not."""
    kind = kind_of(fitted)
    if dense_type(wanted.signature.inputs) != "float32":
        raise CannotExport(kind, "its inputs are not all float32", OTHERWISE, elsewhere=True)
    core = Core(_converted(fitted, kind), wanted.signature.names, "float32")
    found = alike(core, Comparison(answers_of(CatboostModel(fitted), wanted), wanted), wanted)
    if isinstance(found, str):
        raise CannotExport(kind, found, OTHERWISE, elsewhere=True)
    return found


def saved(save: Callable[[str], Any], name: str) -> bytes:
    """What a framework writes into a file of this name."""
    with TemporaryDirectory(prefix="noria-model-") as folder:
        path = Path(folder) / name
        save(str(path))
        return path.read_bytes()


def _converted(fitted: Any, kind: str) -> Any:
    """The graph whose last output has the answers: a classifier's probabilities as an array, and not as a map for each row."""
    try:
        import onnx

        model = onnx.load_from_string(saved(lambda path: fitted.save_model(path, format="onnx"), "model.onnx"))
    except Exception as error:  # what exporters raise shares no narrower base; raised again with its words
        raise CannotExport(kind, f"its exporter refuses it: {words_of(error)}", OTHERWISE, elsewhere=True) from error
    maps = [node for node in model.graph.node if node.op_type == "ZipMap"]
    for node in maps:
        model.graph.node.remove(node)
        value = onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, [None, None])
        del model.graph.output[:]
        model.graph.output.append(value)
    return model
