"""Folders of Hugging Face: a configuration, a tokenizer, and weights as safetensors. They are data; Python code in them is never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noria.core.signature import Field
from noria.data.rows import Fields, Rows
from noria.evaluation.binary import Binary
from noria.evaluation.multiclass import Multiclass
from noria.evaluation.multilabel import Multilabel
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.models.export.port import Saved
from noria.models.files.guesses import WORDS
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CannotServe, WrongTask
from noria.models.runtimes.python_spec import TRANSFORMERS

KIND = "a Hugging Face model"
CLASSIFIES, GENERATES = "ForSequenceClassification", ("ForCausalLM", "LMHeadModel")
SKIPPED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".py")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")


def read(folder: Path, asked: ReadOptions) -> ModelFile:
    """A classifier of texts, or a model that generates them. Raises `BrokenModelFile`, `CannotServe` or `WrongTask`."""
    config = _config(folder)
    architecture = next(iter(config.get("architectures") or []), "")
    _require_files(folder, architecture, config)
    skipped = {path for path in folder.rglob("*") if path.suffix in SKIPPED or not path.is_file() or path.name.startswith(".")}
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path not in skipped}
    saved = Saved(f"{KIND}, {architecture}", TRANSFORMERS, files)
    if architecture.endswith(GENERATES):
        return _generator(folder, saved, asked)
    if asked.task is not None:
        raise WrongTask(f"--task {asked.task}", "config.json says what it answers", "leave --task out; --classes may name its labels")
    task = _task(config, asked)
    inputs = (Field("text", "string"),)
    _require_sample(asked, inputs)
    return ModelFile(folder, saved.kind, saved, inputs, task.outputs, task, rows=Rows.of_values(inputs, [[word] for word in WORDS]))


def _generator(folder: Path, saved: Saved, asked: ReadOptions) -> ModelFile:
    if asked.task is not None or asked.classes:
        raise WrongTask("--task" if asked.task else "--classes", "the model generates texts", "leave it out")
    inputs = (Field("prompt", "string"),)
    _require_sample(asked, inputs)
    outputs = (Field("text", "string", nullable=False),)
    return ModelFile(folder, saved.kind, saved, inputs, outputs, rows=Rows.of_values(inputs, [[word] for word in WORDS[:2]]))


def _require_sample(asked: ReadOptions, inputs: Fields) -> None:
    if asked.sample is not None and inputs[0].name not in asked.sample.names:
        raise BadSample.lacking(asked.sample.path, [inputs[0].name], asked.sample.names)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        raise BrokenModelFile(folder / "config.json", "JSON", str(error), "save the model again, or copy the whole folder") from error
    if not isinstance(found, dict):
        raise BrokenModelFile(folder / "config.json", "a configuration", "it is no object", "save the model again")
    return found


def _require_files(folder: Path, architecture: str, config: dict[str, Any]) -> None:
    if config.get("auto_map"):
        reason = f"its classes are code of its own: {', '.join(map(str, config['auto_map']))}"
        raise CannotServe(folder, reason, "write a Python file with `load(folder)` that loads it, and serve that with --trust")
    if not architecture.endswith((CLASSIFIES, *GENERATES)):
        told = f"its architecture is {architecture or 'not named in config.json'}"
        fix = f"…{CLASSIFIES} and …{GENERATES[0]} are served; for another, write a Python file with `load(folder)`, or export it to ONNX"
        raise CannotServe(folder, told, fix)
    if not any(folder.glob("*.safetensors")):
        others = ", ".join(path.name for path in sorted(folder.iterdir()) if path.suffix in SKIPPED) or "none at all"
        fix = "save it with `model.save_pretrained(folder)`, which writes safetensors"
        raise BrokenModelFile(folder, KIND, f"it has no weights as safetensors ({others})", fix)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        lacking = sorted({name for name in json.loads(index.read_bytes())["weight_map"].values() if not (folder / name).is_file()})
        if lacking:
            raise BrokenModelFile(folder, KIND, f"weights are missing: {', '.join(lacking)}", "copy the whole folder")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise BrokenModelFile(folder, KIND, "it has no tokenizer", "save it beside the model: `tokenizer.save_pretrained(folder)`")


def _task(config: dict[str, Any], asked: ReadOptions) -> Task:
    """What its labels are, as the library's own pipelines read the configuration."""
    named = config.get("id2label") or {}
    labels = [str(named[key]) for key in sorted(named, key=int)] or [f"LABEL_{place}" for place in range(int(config.get("num_labels", 2)))]
    if asked.classes and len(asked.classes) != len(labels):
        raise WrongTask("--classes", f"it has {len(labels)} labels", "give a name for each, in their order")
    classes, kind = tuple(asked.classes) or tuple(labels), config.get("problem_type")
    if kind == "regression":
        return Regression()
    if len(classes) == 1:
        return Binary()
    return Multilabel(classes) if kind == "multi_label_classification" else Multiclass(classes)
