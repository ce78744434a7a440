"""What is changed in an ONNX file before it is sealed: weights that lie beside it are taken in, and maps of classes become tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noria.core.errors import MissingExtra
from noria.models.files.refusals import BrokenModelFile, CannotServe

KIND = "an ONNX graph"
MOST = 2**31 - 1  # bytes of a protobuf message


def with_weights(path: Path) -> bytes:
    """A graph with the weights that lie in files beside it. Raises `BrokenModelFile`, `CannotServe` or `MissingExtra`."""
    onnx = _onnx("an ONNX file whose weights lie in another file")
    try:
        model = onnx.load(str(path))
        if model.ByteSize() > MOST:
            raise CannotServe(path, f"with its weights it has {model.ByteSize() / 1e9:.1f} GB", "quantize it to less than 2 GB")
        return bytes(model.SerializeToString())
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise BrokenModelFile(path, KIND, f"its weights can't be read: {error}", "copy the file with its weights beside it") from error


def without_zipmaps(path: Path, model: bytes) -> tuple[bytes, dict[str, list[Any]]]:
    """A graph that answers with the tensors of which converters made maps of classes; and these, by output. Raises `CannotServe`."""
    onnx = _onnx("a graph that returns a map of classes for each row")
    found = onnx.load_from_string(model)
    labels: dict[str, list[Any]] = {}
    renamed: dict[str, str] = {}
    for node in [node for node in found.graph.node if node.op_type == "ZipMap"]:
        classes = next((list(a.strings or a.ints) for a in node.attribute if a.name.startswith("classlabels_")), [])
        labels[node.output[0]] = [each.decode() if isinstance(each, bytes) else each for each in classes]
        renamed[node.input[0]] = node.output[0]
        found.graph.node.remove(node)
    for node in found.graph.node:
        node.output[:] = [renamed.get(name, name) for name in node.output]
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for output in found.graph.output:
        if output.name in labels:
            tensor = onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, [None, len(labels[output.name])])
            output.CopyFrom(tensor)
    if not labels:
        raise CannotServe(path, "it returns a map for each row", "convert it with `zipmap=False`")
    return bytes(found.SerializeToString()), labels


def _onnx(needed_for: str) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="onnx", needed_for=needed_for) from error
    return onnx
