"""The graphs of a folder's model: its own, and those that are made here, in full numbers or in eight bits, and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from noria.core.files import LocalFiles
from noria.core.ids import digest
from noria.llm.embedding.bert_graph import bert_graph
from noria.llm.embedding.eight_bits import eight_bits
from noria.llm.embedding.tokenized import MODEL, TOKENIZER
from noria.llm.embedding.unquantized import is_quantized, unquantized

GraphKind = Literal["onnx", "float", "onnx-int8"]  # as it is; that multiplies in full numbers; and in eight bits
VERSION = 2  # of what is made


def graph_of(folder: Path, kind: GraphKind, cache: Path) -> Path:
    """The graph of one kind, which is made where the folder does not have it."""
    own = own_graph(folder)
    if own is not None and (kind == "onnx" or (kind == "float" and not is_quantized(own.read_bytes()))):
        return own
    name = "onnx" if own is None and kind == "float" else kind  # what is made of weights has full numbers
    kept = cache / "graphs" / f"{source_sha256(folder)[:32]}.{name}.v{VERSION}.onnx"
    if not kept.is_file():
        full = bert_graph(folder) if own is None else own.read_bytes()
        full = unquantized(full) if is_quantized(full) else full
        kept.parent.mkdir(parents=True, exist_ok=True)
        LocalFiles().write(kept, eight_bits(full) if kind == "onnx-int8" else full)
    return kept


def own_graph(folder: Path) -> Path | None:
    return next((path for path in (folder / MODEL, folder / "onnx" / MODEL) if path.is_file()), None)


def source_sha256(folder: Path) -> str:
    """Of what a model's graphs are made from."""
    own = own_graph(folder)
    paths = [own] if own is not None else [*sorted(folder.glob("*.safetensors")), folder / "config.json"]
    return digest([digest(path.read_bytes()) for path in [*paths, folder / TOKENIZER]])
