"""Models of several answers: one ONNX graph from several models, or one whose answer is taken apart into the outputs of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noria.core.signature import PREDICTION, SCORE, Field, Signature
from noria.data.rows import Fields, width
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.export.graphs.own import export_answers
from noria.models.export.port import Wanted, kind_of
from noria.models.export.refusal import RETURNED, CannotExport
from noria.models.runtimes.onnx import NULL_TEXT_KEY, OnnxModel

COLUMNS, LAST = "rows_and_columns", "last_column"
PART = "{}/"  # before all names of the graph that is of one part
DICT = "a dict of models"

Export = Callable[[Any, Wanted], bytes]


def export_whole(model: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of an `onnx.ModelProto` that answers with several numbers: it has the signature's outputs by their names, or its last
    output is all their numbers, `(rows, numbers)`. Raises `CannotExport`, `UnloadableModel`."""
    fields = wanted.signature.outputs
    named = {output.name for output in model.graph.output} >= {field.name for field in fields}
    return export_answers(model if named else taken_apart(model, fields), wanted)


def export_several(fitted: Any, wanted: Wanted, export: Export) -> bytes:
    """The ONNX bytes of a dict of models by output and label. export: what makes the ONNX bytes of one of them, with one number a row,
    and has compared it with its original

    Raises `CannotExport`, also where a part has no way to ONNX, and `UnloadableModel`.
    """
    fields = wanted.signature.outputs
    part = replace(wanted, signature=Signature(wanted.signature.inputs, (SCORE,)), exclusive=False, order=False)
    models = {label: _exported(label, model, part, export) for label, model in parts_of(fitted, fields).items()}
    together = merged(models)
    _require_equal(together, models, part)
    return together if _is_one(fields) else canonical_bytes(taken_apart(_read(together), fields))


def parts_of(fitted: Mapping[Any, Any], fields: Fields) -> dict[str, Any]:
    """The models of a dict in the order of the numbers that they answer with, by `output`, `label` or `output.label`. Raises
    `CannotExport`."""
    names = [field.name for field in fields]
    by_output = _keyed(fitted, names, "") if len(fields) > 1 or _keys(fitted) == names else {names[0]: fitted}
    found = dict[str, Any]()
    for field in fields:
        of = by_output[field.name]
        if not field.labels:
            found[field.name] = of
            continue
        if not isinstance(of, Mapping):
            raise not_several(of, (field,))
        before = "" if len(fields) == 1 else f"{field.name}."
        found |= {f"{before}{label}": model for label, model in _keyed(of, field.labels, f" of {field.name}").items()}
    return found


def not_several(fitted: Any, fields: Fields) -> CannotExport:
    """What is said of a model where several are expected: a booster has one answer, anything else Python may run."""
    way, one = f"return {DICT} by these names", type(fitted).__module__.split(".")[0] == "lightgbm"
    several = ", ".join(fields[0].labels if len(fields) == 1 else [field.name for field in fields])
    reason = f"{fields[0].name} is of several numbers: {several}" if len(fields) == 1 else f"the model answers with {several}"
    return CannotExport(kind_of(fitted), reason if one else RETURNED, way, elsewhere=not one)


def merged(models: Mapping[str, bytes]) -> bytes:
    """One ONNX model with one output `prediction` `(rows, models)` float64, of models that each read the same rows and give one number a
    row, the last column of their last output. Raises `CannotExport`.

    models: ONNX bytes, in the order of the columns, by names for messages
    """
    from onnx import TensorProto, helper, numpy_helper

    read = _of_one_opset({label: _read(model) for label, model in models.items()})
    inputs, properties = _shared_inputs(read), _shared_properties(read)
    shared = [numpy_helper.from_array(np.array([-1]), LAST), numpy_helper.from_array(np.array([0, -1]), COLUMNS)]
    graph = helper.make_graph([], "several", [], [], shared)
    columns = [_add(graph, model, PART.format(place), [each.name for each in inputs]) for place, model in enumerate(read.values())]
    graph.node.append(helper.make_node("Concat", columns, [PREDICTION], axis=1, name=PREDICTION))
    graph.input.extend(inputs)
    graph.output.append(helper.make_tensor_value_info(PREDICTION, TensorProto.DOUBLE, [None, len(columns)]))
    made = helper.make_model(graph, opset_imports=_opsets(read.values()), ir_version=max(m.ir_version for m in read.values()))
    made.functions.extend(function for model in read.values() for function in model.functions)
    helper.set_model_props(made, properties)
    return canonical_bytes(made)


def taken_apart(model: Any, fields: Sequence[Field]) -> Any:
    """An `onnx.ModelProto` whose outputs are these fields: what its last output has for each row, in their order."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    found = ModelProto()
    found.CopyFrom(model)
    graph, whole, numbers = found.graph, found.graph.output[-1].name, sum(width(field) for field in fields)
    taken = {name for node in graph.node for name in node.output} | {output.name for output in graph.output}
    if taken & {field.name for field in fields}:  # of another shape or place
        from onnx.compose import add_prefix

        found = add_prefix(found, PART.format("model"), rename_inputs=False)
        graph, whole = found.graph, found.graph.output[-1].name
    graph.initializer.append(numpy_helper.from_array(np.array([0, numbers]), "answers/shape"))
    graph.node.append(helper.make_node("Reshape", [whole, "answers/shape"], ["answers/flat"], name="answers/flat"))
    graph.node.append(helper.make_node("Cast", ["answers/flat"], ["answers/whole"], to=TensorProto.DOUBLE, name="answers/whole"))
    del graph.output[:]
    start = 0
    for place, field in enumerate(fields):
        columns = f"answers/{place}"
        graph.initializer.append(numpy_helper.from_array(np.arange(start, start + width(field)), columns))
        graph.node.append(helper.make_node("Gather", ["answers/whole", columns], [field.name], axis=1, name=columns))
        graph.output.append(helper.make_tensor_value_info(field.name, TensorProto.DOUBLE, [None, width(field)]))
        start += width(field)
    return found


def _is_one(fields: Fields) -> bool:
    return len(fields) == 1 and fields[0].name == PREDICTION


def _keys(fitted: Mapping[Any, Any]) -> list[str]:
    return [str(key) for key in fitted]


def _keyed(fitted: Any, names: Sequence[str], of: str) -> dict[str, Any]:
    """A dict's models by these names, in their order. Raises `CannotExport`."""
    given = {str(key): model for key, model in fitted.items()}
    if set(given) != set(names):
        reason = f"it has models for {', '.join(given) or 'nothing'}, and the answers{of} are {', '.join(names)}"
        raise CannotExport(DICT, reason, "return a model for each of them")
    return {name: given[name] for name in names}


def _exported(label: str, model: Any, wanted: Wanted, export: Export) -> bytes:
    try:
        return export(model, wanted)
    except CannotExport as error:
        raise CannotExport(f"{error.kind} of {label}", error.reason, error.way, elsewhere=error.elsewhere) from error


def _require_equal(together: bytes, models: Mapping[str, bytes], wanted: Wanted) -> None:
    """Raise `CannotExport` unless one model answers as its parts do. wanted: of a part"""
    if not len(wanted.rows):
        return
    parts = [OnnxModel(model, signature=wanted.signature).answer(wanted.rows).scores((SCORE,)) for model in models.values()]
    all_of_them = Field(PREDICTION, SCORE.type, (len(models),), labels=tuple(models))
    found = OnnxModel(together, signature=Signature(wanted.signature.inputs, (all_of_them,))).answer(wanted.rows).scores((all_of_them,))
    if not np.array_equal(found.reshape(len(found), -1), np.column_stack(parts), equal_nan=True):
        raise CannotExport(DICT, "as one ONNX model it answers differently than its parts", "return an onnx.ModelProto of your own")


def _read(model: bytes) -> Any:
    from onnx import ModelProto

    return ModelProto.FromString(model)


def _of_one_opset(models: Mapping[str, Any]) -> dict[str, Any]:
    """The models in the newest version of ONNX's operators that one of them has. Raises `CannotExport`."""
    versions = {label: {each.domain or "ai.onnx": each.version for each in model.opset_import} for label, model in models.items()}
    newest = max(each.get("ai.onnx", 1) for each in versions.values())
    found = dict[str, Any]()
    for label, model in models.items():
        found[label] = model
        if versions[label].get("ai.onnx", newest) != newest:
            from onnx.version_converter import convert_version

            try:
                found[label] = convert_version(model, newest)
            except Exception as error:  # what the converter raises shares no narrower base; raised again with its words
                reason = f"the model of {label} is of an older version of ONNX than others, and can't be converted: {error}"
                raise CannotExport(DICT, reason, f"export all models with opset {newest}") from error
    return found


def _given(model: Any) -> list[Any]:
    """A model's inputs, without constants that have a default."""
    constants = {constant.name for constant in model.graph.initializer}
    return [given for given in model.graph.input if given.name not in constants]


def _shared_inputs(models: Mapping[str, Any]) -> list[Any]:
    """The inputs of all: one block of rows each, whatever its name, or columns of the same names and types. Raises `CannotExport`."""
    first, *others = [_given(model) for model in models.values()]
    alike = [(None if len(first) == 1 else each.name, each.type.SerializeToString()) for each in first]
    for given in others:
        if [(None if len(first) == 1 else each.name, each.type.SerializeToString()) for each in given] != alike:
            raise CannotExport(DICT, "its models read inputs of different names or types", elsewhere=True)
    return first


def _shared_properties(models: Mapping[str, Any]) -> dict[str, str]:
    """What models say of how they are fed, which must be the same of all. Raises `CannotExport`."""
    said = [{each.key: each.value for each in model.metadata_props if each.key == NULL_TEXT_KEY} for model in models.values()]
    if any(each != said[0] for each in said):
        raise CannotExport(DICT, "some of its models read unknown texts, and others refuse them", elsewhere=True)
    return said[0]


def _opsets(models: Any) -> list[Any]:
    """The operator sets of all, each of the newest version."""
    from onnx import helper

    newest = dict[str, int]()
    for model in models:
        for each in model.opset_import:
            newest[each.domain] = max(each.version, newest.get(each.domain, 0))
    return [helper.make_opsetid(domain, version) for domain, version in sorted(newest.items())]


def _add(graph: Any, model: Any, prefix: str, inputs: Sequence[str]) -> str:
    """Put a model's nodes into a graph of these inputs, under names of their own; the name of its answer there, `(rows, 1)` float64."""
    from onnx import TensorProto, helper
    from onnx.compose import add_prefix

    given = _given(model)
    own = add_prefix(model, prefix).graph
    graph.initializer.extend(own.initializer)
    graph.sparse_initializer.extend(own.sparse_initializer)
    for shared, each in zip(inputs, given, strict=True):
        graph.node.append(helper.make_node("Identity", [shared], [f"{prefix}{each.name}"], name=f"{prefix}input/{each.name}"))
    graph.node.extend(own.node)
    columns, last, score = (f"{prefix}{step}" for step in ("columns", "last", "score"))
    graph.node.append(helper.make_node("Reshape", [own.output[-1].name, COLUMNS], [columns], name=columns))
    graph.node.append(helper.make_node("Gather", [columns, LAST], [last], axis=1, name=last))
    graph.node.append(helper.make_node("Cast", [last], [score], to=TensorProto.DOUBLE, name=score))
    return score
