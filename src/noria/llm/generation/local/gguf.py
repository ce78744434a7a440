"""GGUF files (version 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): settings, and tensors as numpy arrays on the file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.generation.failures import BadRequest

MAGIC = b"GGUF"
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
# By number: name, values of a block, bytes of a block. Others exist (K-quants and more); none is needed here.
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34)}


@dataclass(frozen=True)
class Tensor:
    """kind: as in `TYPES`; shape: rows first, as numpy has it; blocks: `(rows, bytes)` uint8, or `(1, bytes)` of a vector"""

    kind: str
    shape: tuple[int, ...]
    blocks: NDArray[np.uint8]


@dataclass(frozen=True)
class Gguf:
    """What a file has."""

    path: Path
    settings: dict[str, Any]
    tensors: dict[str, Tensor]

    def setting(self, name: str) -> Any:
        """Raises `BadRequest` where the file has no such setting."""
        if name not in self.settings:
            raise not_a_model(self.path, f"it has no {name}")
        return self.settings[name]

    def tensor(self, name: str) -> Tensor:
        """Raises `BadRequest` where the file has no such tensor."""
        if name not in self.tensors:
            raise not_a_model(self.path, f"it has no tensor {name}")
        return self.tensors[name]


def not_a_model(path: Path, reason: str) -> BadRequest:
    """The error that a file can't be used as a model."""
    fix = "give a GGUF file of a small Llama with a ChatML template, quantised as F32, F16, Q4_0, Q4_1 or Q8_0, such as SmolLM2's"
    return BadRequest(str(path), f"the file is no model that runs here: {reason}", fix)


def read_gguf(path: Path) -> Gguf:
    """The contents of a file; tensors stay on the disk until they are used. Raises `BadRequest`."""
    try:
        data = np.memmap(path, np.uint8, "r")
        return _read(path, data)
    except (OSError, ValueError, struct.error, UnicodeDecodeError, MemoryError, RecursionError) as error:
        raise not_a_model(path, f"it can't be read: {error}") from error


class _Cursor:
    """A place in the file's head."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data, self.at = data.data, 0

    def number(self, form: str) -> Any:
        [value] = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        size = self.number("Q")
        if size > len(self.data) - self.at:
            raise ValueError("a text is longer than the file")
        self.at += size
        return bytes(self.data[self.at - size : self.at]).decode()

    def value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind != ARRAY:
            return self.number(NUMBERS[kind]) if kind in NUMBERS else _unknown(kind)
        of, count = self.number("I"), self.number("Q")
        if count > len(self.data) - self.at:
            raise ValueError("a list is longer than the file")
        if of in NUMBERS:
            values = struct.unpack_from(f"<{count}{NUMBERS[of]}", self.data, self.at)
            self.at += count * struct.calcsize(NUMBERS[of])
            return list(values)
        read: Callable[[], Any] = self.text if of == TEXT else lambda: self.value(of)
        return [read() for _ in range(count)]


def _read(path: Path, data: NDArray[np.uint8]) -> Gguf:
    cursor = _Cursor(data)
    if bytes(cursor.data[:4]) != MAGIC:
        raise ValueError("it is not a GGUF file")
    cursor.at = 4
    version = cursor.number("I")
    if version not in (2, 3):
        raise ValueError(f"its version is {version}")
    tensors, settings = cursor.number("Q"), cursor.number("Q")
    found = {cursor.text(): cursor.value(cursor.number("I")) for _ in range(settings)}
    heads = [_head(cursor) for _ in range(tensors)]
    alignment = int(found.get("general.alignment", 32))
    start = -(-cursor.at // alignment) * alignment
    return Gguf(path, found, {name: _tensor(data, start + at, kind, shape) for name, shape, kind, at in heads})


def _head(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text()
    shape = tuple(cursor.number("Q") for _ in range(cursor.number("I")))
    return name, shape[::-1], cursor.number("I"), cursor.number("Q")


def _tensor(data: NDArray[np.uint8], at: int, kind: int, shape: tuple[int, ...]) -> Tensor:
    if kind not in TYPES:
        raise ValueError(f"a tensor is of kind {kind}, which is not one of {', '.join(name for name, _, _ in TYPES.values())}")
    name, values, size = TYPES[kind]
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    wide = shape[-1] // values * size
    if shape[-1] % values or at + rows * wide > len(data):
        raise ValueError("a tensor is not whole")
    return Tensor(name, shape, data[at : at + rows * wide].reshape(rows, wide))


def _unknown(kind: int) -> Any:
    raise ValueError(f"a setting is of kind {kind}")


def dequantised(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a tensor."""
    rows, blocks = tensor.blocks.shape[0], tensor.blocks
    if tensor.kind in ("F32", "F16"):
        return blocks.reshape(-1).view("<f4" if tensor.kind == "F32" else "<f2").astype(np.float32).reshape(tensor.shape)
    if tensor.kind == "Q8_0":
        parts = blocks.reshape(rows, -1, 34)
        values = parts[..., 2:].view(np.int8) * half(parts[..., :2])
    else:
        scales, least, codes = four_bits(tensor)
        values = codes * scales[..., None] + least[..., None]
    return np.ascontiguousarray(values, np.float32).reshape(tensor.shape)


def four_bits(tensor: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """A tensor of 4 bits as scale and least value `(rows, blocks)`, and codes `(rows, blocks, 32)`: value = code · scale + least."""
    parts = tensor.blocks.reshape(tensor.blocks.shape[0], -1, TYPES[2][2] if tensor.kind == "Q4_0" else TYPES[3][2])
    scales = half(parts[..., :2])[..., 0]
    least = -8 * scales if tensor.kind == "Q4_0" else half(parts[..., 2:4])[..., 0]
    packed = parts[..., -16:]
    return scales, least, np.concatenate([packed & 15, packed >> 4], -1)


def half(two_bytes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`(…, 2)` bytes as `(…, 1)` numbers."""
    return np.ascontiguousarray(two_bytes).view("<f2").astype(np.float32)
