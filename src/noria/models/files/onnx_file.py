"""ONNX files: any graph whose inputs and outputs have a row in their first dimension."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.signature import FLOATS, INTEGERS, SCORE, Field
from noria.data.rows import Fields
from noria.models.files.graph_edits import with_weights, without_zipmaps
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CannotServe, WrongTask
from noria.models.runtimes.port import UnloadableModel

if TYPE_CHECKING:
    from noria.evaluation.task import Task

KIND = "an ONNX graph"
HALF = "tensor(float16)"
TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", HALF: "float32", "tensor(string)": "string", "tensor(bool)": "bool"} | {
    f"tensor({kind})": kind for kind in INTEGERS
}
AGAIN = "export the model again, or copy the whole file"
Shape = Sequence[int | str | None]


def read(path: Path, asked: ReadOptions) -> ModelFile:
    """A graph with its inputs and outputs. Raises `BrokenModelFile`, `CannotServe`, `BadSample` or `WrongTask`."""
    return of_bytes(path, whole(path), asked)


def of_bytes(path: Path, model: bytes, asked: ReadOptions, names: Sequence[str] = ()) -> ModelFile:
    """A graph as a model file. names: of its features, where something else says them."""
    session = opened(path, model)
    labels: dict[str, list[Any]] = {}
    if any(each.type.startswith("seq(map(") for each in session.get_outputs()):
        model, labels = without_zipmaps(path, model)
        session = opened(path, model)
    inputs = _inputs(path, session.get_inputs(), asked, names)
    outputs = _outputs(path, session.get_outputs(), labels)
    task = _task(asked, labels.get(outputs[-1].name, []))
    if task is not None:
        _require_numbers(session.get_outputs()[-1], task.outputs, asked)
    return ModelFile(path, KIND, model, inputs, task.outputs if task is not None else outputs, task)


def _task(asked: ReadOptions, labels: list[Any]) -> Task | None:
    """What was asked for, or what a graph that names its classes says."""
    if asked.task is None and not asked.classes and not labels:
        return None
    from noria.models.files.tasks import NONE, asked_task, of_classes

    if asked.task is not None:
        return None if asked.task == NONE else asked_task(asked)
    return of_classes(labels or list(asked.classes), asked)


def opened(path: Path, model: bytes | str) -> Any:
    """A session on a graph, of which only its inputs and outputs are looked at. Raises `BrokenModelFile`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own exceptions share no narrower base; raised again with its words
        raise _broken(path, str(UnloadableModel(str(error) or "no reason").where)) from error


def whole(path: Path) -> bytes:
    """The bytes of a graph with its weights, which may lie in files beside it. Raises `BrokenModelFile`."""
    model = path.read_bytes()
    _refuse_others(path, model[:8])
    try:
        opened(path, model)
    except BrokenModelFile:
        opened(path, str(path))  # with what lies beside it; raises what is wrong where that does not help
        return with_weights(path)
    return model


def _refuse_others(path: Path, first: bytes) -> None:
    """Refuse what is plainly another format."""
    others = {b"\x80": "a Python pickle", b"PK": "a zip archive, such as skops, Keras and PyTorch write", b"{": "JSON", b"\x89HDF": "HDF5"}
    for start, name in others.items():
        if first.startswith(start):
            raise BrokenModelFile(path, KIND, f"it is {name}", "give the ONNX file, or name the file as what it is")
    if not first:
        raise BrokenModelFile(path, KIND, "it is empty", AGAIN)


def _broken(path: Path, reason: str) -> BrokenModelFile:
    lower = reason.lower()
    if "is not a registered function/op" in lower or "no opset import" in lower or "custom" in lower:
        fix = "export it with the operators of ONNX alone: ONNX Runtime here has no others"
        return BrokenModelFile(path, KIND, f"it uses an operator that ONNX Runtime does not have: {reason}", fix)
    if "external" in lower or "no such file" in lower or "cannot find" in lower or "getfilelength" in lower:
        return BrokenModelFile(path, KIND, f"its weights lie in a file of their own: {reason}", "copy that file beside it")
    if "opset" in lower or "ir_version" in lower or "ir version" in lower:
        return BrokenModelFile(path, KIND, reason, "export it for an older opset, or install a newer onnxruntime")
    return BrokenModelFile(path, KIND, reason, AGAIN)


# --- inputs and outputs --------------------------------------------------------------------------------------------------


def _inputs(path: Path, given: Sequence[Any], asked: ReadOptions, names: Sequence[str]) -> Fields:
    batches = {each.shape[0] for each in given if each.shape and isinstance(each.shape[0], int)}
    for each in given:
        if each.type not in TYPES:
            raise CannotServe(path, f"its input {each.name!r} is a {each.type}", "export it with inputs of numbers, texts or booleans")
        if not each.shape or (len(each.shape) == 1 and isinstance(each.shape[0], int) and each.shape[0] != 1) or len(batches) > 1:
            told = f"its input {each.name!r} has the shape {_shown(each.shape)}, which has no dimension for rows"
            fix = "export it with a first dimension of free size (`dynamic_axes` or `dynamic_shapes` in PyTorch)"
            raise CannotServe(path, told, fix)
    if not given:
        raise CannotServe(path, "it has no input", "export it with its inputs")
    block = _block(given, asked, names)
    if block:
        return block
    fields = tuple(Field(each.name, TYPES[each.type], _rest(each.shape), nullable=_nullable(each)) for each in given)
    if asked.sample is not None:
        missing = [field.name for field in fields if field.name not in asked.sample.names]
        if missing:
            told = f"it has the columns {', '.join(asked.sample.names[:8])}, and the model reads {', '.join(f.described for f in fields)}"
            raise BadSample(asked.sample.path, told, "name the columns as the inputs; a column for each of the numbers is right, too")
    return fields


def _nullable(each: Any) -> bool:
    return TYPES[each.type] in FLOATS and len(_rest(each.shape)) == 0


def _block(given: Sequence[Any], asked: ReadOptions, names: Sequence[str]) -> Fields:
    """The inputs as named numbers, where the graph reads one block of them and something names them; otherwise nothing."""
    one = given[0]
    if len(given) != 1 or len(one.shape) != 2 or TYPES[one.type] not in FLOATS or one.type == HALF:
        return ()
    if not names and asked.sample is not None and one.name not in asked.sample.names:
        names = asked.sample.names
        plain = [field.name for field in asked.sample.fields(names, "float64") if field.type in (*FLOATS, *INTEGERS) and not field.shape]
        if (isinstance(one.shape[1], int) and len(names) != one.shape[1]) or len(plain) != len(names):
            told = f"it has {len(names)} columns, {len(plain)} of numbers, and the model reads {_shown(one.shape[1:])[1:-1]} numbers"
            raise BadSample(asked.sample.path, told, "give a column for each number that the model reads, in their order, and no others")
    if not names or (isinstance(one.shape[1], int) and len(names) != one.shape[1]):
        return ()
    return tuple(Field(name, TYPES[one.type]) for name in names)


def _outputs(path: Path, given: Sequence[Any], labels: dict[str, list[Any]]) -> Fields:
    found = []
    for each in given:
        if each.type not in TYPES:
            raise CannotServe(path, f"its output {each.name!r} is a {each.type}", "export it with outputs of tensors")
        names = tuple(map(str, labels.get(each.name, ())))
        shape = (len(names),) if names else _rest(each.shape)
        found.append(Field(each.name, TYPES[each.type], shape, nullable=False, labels=names))
    return tuple(found)


def _require_numbers(last: Any, wanted: Fields, asked: ReadOptions) -> None:
    if TYPES.get(last.type) not in FLOATS:
        given = f"--task {asked.task}" if asked.task else "--classes"
        fix = "leave --task out to serve the outputs as they are"
        raise WrongTask(given, f"the last output of the graph, {last.name!r}, is a {last.type}, and numbers are needed", fix)
    size = last.shape[-1] if len(last.shape) == 2 else 1
    several = wanted[0].shape[-1] if wanted[0].shape else None
    if wanted == (SCORE,) and isinstance(size, int) and size > 2:
        raise WrongTask(f"--task {asked.task}", f"the graph answers each row with {size} numbers", "use --task multiclass with --classes")
    if several is not None and isinstance(size, int) and size != several:
        raise WrongTask("--classes", f"there are {several} classes, and the graph answers with {size} numbers", "name each class once")


def _rest(shape: Shape) -> tuple[int | None, ...]:
    """The shape of one row's value."""
    rest = tuple(size if isinstance(size, int) else None for size in shape[1:])
    return () if rest == (1,) else rest


def _shown(shape: Shape) -> str:
    return f"[{', '.join(str(size) if isinstance(size, int) else 'any' for size in shape)}]"
