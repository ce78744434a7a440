"""A GGUF file of a Llama that is small and random, and what it computes in numpy."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import ByteLevel

LAYERS, WIDTH, HEADS, KV_HEADS, INNER = 2, 64, 4, 2, 96
HEAD = WIDTH // HEADS
CONTEXT, EPSILON, BASE = 160, 1e-5, 10_000.0
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "Ġa", "th"]
TEMPLATE = "{% if x %}{{ '<|im_start|>system\nBe small.<|im_end|>\n' }}{% endif %}<|im_start|>"
Weights = dict[str, NDArray[np.float32]]


def q4_1(values: NDArray[np.float32]) -> tuple[int, bytes, NDArray[np.float32]]:
    """A matrix of 4 bits: its kind, its bytes, and the values that these are."""
    blocks = values.reshape(values.shape[0], -1, 32)
    least, most = blocks.min(-1, keepdims=True), blocks.max(-1, keepdims=True)
    scale, least = ((most - least) / 15).astype("<f2"), least.astype("<f2")
    codes = np.clip(np.rint((blocks - least.astype(np.float32)) / scale.astype(np.float32)), 0, 15).astype(np.uint8)
    packed = codes[..., :16] | (codes[..., 16:] << 4)
    raw = np.concatenate([scale.view(np.uint8), least.view(np.uint8), packed], -1).tobytes()
    return 3, raw, (codes * scale.astype(np.float32) + least.astype(np.float32)).reshape(values.shape)


def q4_0(values: NDArray[np.float32]) -> tuple[int, bytes, NDArray[np.float32]]:
    blocks = values.reshape(values.shape[0], -1, 32)
    scale = (np.abs(blocks).max(-1, keepdims=True) / 7).astype("<f2")
    codes = np.clip(np.rint(blocks / scale.astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    raw = np.concatenate([scale.view(np.uint8), codes[..., :16] | (codes[..., 16:] << 4)], -1).tobytes()
    return 2, raw, ((codes.astype(np.float32) - 8) * scale.astype(np.float32)).reshape(values.shape)


def q8_0(values: NDArray[np.float32]) -> tuple[int, bytes, NDArray[np.float32]]:
    blocks = values.reshape(values.shape[0], -1, 32)
    scale = (np.abs(blocks).max(-1, keepdims=True) / 127).astype("<f2")
    codes = np.clip(np.rint(blocks / scale.astype(np.float32)), -127, 127).astype(np.int8)
    raw = np.concatenate([scale.view(np.uint8), codes.view(np.uint8)], -1).tobytes()
    return 8, raw, (codes * scale.astype(np.float32)).reshape(values.shape)


def f32(values: NDArray[np.float32]) -> tuple[int, bytes, NDArray[np.float32]]:
    return 0, values.astype("<f4").tobytes(), values


def f16(values: NDArray[np.float32]) -> tuple[int, bytes, NDArray[np.float32]]:
    return 1, values.astype("<f2").tobytes(), values.astype("<f2").astype(np.float32)


def write_llama(path: Path, seed: int = 0, matrices: Any = q4_1, embedding: Any = q8_0, **settings: Any) -> Weights:
    """Write the file, and return its weights as they are in it. settings: in place of others, by name with _ for . and None to leave out"""
    random = np.random.default_rng(seed)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        inner = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH)}
        inner |= {"attn_k": (KV_HEADS * HEAD, WIDTH), "attn_v": (KV_HEADS * HEAD, WIDTH), "ffn_down": (WIDTH, INNER)}
        inner |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in inner.items()}
    heads, data, weights = b"", b"", Weights()
    for name, shape in shapes.items():
        values = random.normal(0.2, 1 if len(shape) == 1 else 0.4, shape).astype(np.float32)
        form = f32 if len(shape) == 1 else embedding if name == "token_embd" else matrices
        kind, raw, weights[name] = form(values)
        heads += _text(f"{name}.weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    told = _settings() | settings
    kept = {name: value for name, value in told.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(kept)) + b"".join(_text(name) + _value(value) for name, value in kept.items())
    head += heads
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return weights


def next_logits(weights: Weights, tokens: list[int]) -> NDArray[np.float64]:
    """What the model says of the next token: the definition, without a cache."""
    states = weights["token_embd"][tokens].astype(np.float64)
    for layer in range(LAYERS):
        own = {name.split(".")[2]: value for name, value in weights.items() if name.startswith(f"blk.{layer}.")}
        normed = _norm(states, own["attn_norm"])
        q, k, v = (_heads(normed @ own[f"attn_{name}"].T) for name in "qkv")
        q, k = _turned(q), _turned(k)
        k, v = (np.repeat(each, HEADS // KV_HEADS, 1) for each in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD)
        scores[:, ~np.tri(len(tokens), dtype=bool)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        attended = np.einsum("hqk,khd->qhd", shares / shares.sum(-1, keepdims=True), v)
        states = states + attended.reshape(len(tokens), -1) @ own["attn_output"].T
        normed = _norm(states, own["ffn_norm"])
        gate = normed @ own["ffn_gate"].T
        states = states + (gate / (1 + np.exp(-gate)) * (normed @ own["ffn_up"].T)) @ own["ffn_down"].T
    found: NDArray[np.float64] = _norm(states, weights["output_norm"])[-1] @ weights["token_embd"].T
    return found


def _norm(states: NDArray[np.float64], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = states / np.sqrt((states**2).mean(-1, keepdims=True) + EPSILON) * weight
    return found


def _heads(states: NDArray[np.float64]) -> NDArray[np.float64]:
    return states.reshape(len(states), -1, HEAD)


def _turned(states: NDArray[np.float64]) -> NDArray[np.float64]:
    angles = np.arange(len(states))[:, None, None] / BASE ** (np.arange(0, HEAD, 2) / HEAD)
    even, odd, turned = states[..., 0::2], states[..., 1::2], np.empty_like(states)
    turned[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
    turned[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
    return turned


def _settings() -> dict[str, Any]:
    return {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.embedding_length": WIDTH,
        "llama.context_length": CONTEXT,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "llama.rope.freq_base": BASE,
        "tokenizer.chat_template": TEMPLATE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(TOKENS) - 3),
        "tokenizer.ggml.merges": ["Ġ a", "t h"],
    }


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list):
        kind, items = (8, b"".join(map(_text, value))) if isinstance(value[0], str) else (5, struct.pack(f"<{len(value)}i", *value))
        return struct.pack("<IIQ", 9, kind, len(value)) + items
    return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)
