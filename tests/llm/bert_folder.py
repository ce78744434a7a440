"""A small BERT with random weights, as a folder in the form of sentence-transformers; and what it computes, written out in numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIZE, INNER, HEADS, LAYERS, PLACES = 64, 128, 4, 2, 40
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(60)), "query"]
TYPES = {"F32": "<f4", "F16": "<f2"}


def bert_folder(folder: Path, numbers: str = "F32", seed: int = 0) -> Path:
    """Write the folder. numbers: of its weights, F32, F16 or BF16"""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": SIZE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config |= {"intermediate_size": INNER, "max_position_embeddings": PLACES, "layer_norm_eps": 1e-12, "vocab_size": len(WORDS)}
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights(seed), numbers)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def linear(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": rng.normal(0, 0.2, (outputs, inputs)), f"{name}.bias": rng.normal(0, 0.2, outputs)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": rng.normal(1, 0.2, SIZE), f"{name}.bias": rng.normal(0, 0.2, SIZE)}

    sizes = {"word": len(WORDS), "position": PLACES, "token_type": 2}
    found = {f"embeddings.{name}_embeddings.weight": rng.normal(0, 1, (size, SIZE)) for name, size in sizes.items()}
    found |= norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        own = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            found |= linear(f"{own}.attention.self.{part}", SIZE, SIZE)
        found |= linear(f"{own}.attention.output.dense", SIZE, SIZE) | norm(f"{own}.attention.output.LayerNorm")
        found |= linear(f"{own}.intermediate.dense", INNER, SIZE)
        found |= linear(f"{own}.output.dense", SIZE, INNER) | norm(f"{own}.output.LayerNorm")
    return found


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], numbers: str = "F32") -> None:
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, value in arrays.items():
        if numbers == "BF16":
            data = (np.ascontiguousarray(value, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            data = np.ascontiguousarray(value, TYPES[numbers]).tobytes()
        header[name] = {"dtype": numbers, "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + body)


def states(ids: list[int], seed: int = 0) -> np.ndarray:
    """The states of one text `(tokens, SIZE)`."""
    w = weights(seed)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    gelu = np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))
    at = "embeddings.{}_embeddings.weight"
    x = w[at.format("word")][ids] + w[at.format("position")][: len(ids)] + w[at.format("token_type")][0]
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        own = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{own}.attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(SIZE // HEADS)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), SIZE)
        x = norm(x + linear(mixed, f"{own}.attention.output.dense"), f"{own}.attention.output.LayerNorm")
        x = norm(x + linear(gelu(linear(x, f"{own}.intermediate.dense")), f"{own}.output.dense"), f"{own}.output.LayerNorm")
    return x
