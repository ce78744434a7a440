"""The raw contents of a large `ModelInferRequest`, taken out of its bytes without a copy of them.

protobuf would copy each once into its own memory and once more when it is asked for. Only the outermost fields are looked at
(https://protobuf.dev/programming-guides/encoding): of those named `raw_input_contents` come views, what is left is parsed as ever.
"""

from __future__ import annotations

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
RAW_INPUT_CONTENTS = 7 << 3 | LENGTH  # field 7
MAX_VARINT = 10  # bytes


def split(message: memoryview) -> tuple[bytes, list[memoryview]]:
    """A message without its raw contents, and these. One that is malformed comes back whole: its parser says what is wrong."""
    kept, raw, at = list[memoryview](), list[memoryview](), 0
    try:
        while at < len(message):
            start = at
            tag, at = _varint(message, at)
            end = _end(message, tag & 7, at)
            if tag == RAW_INPUT_CONTENTS:
                _, at = _varint(message, at)
                raw.append(message[at:end])
            else:
                kept.append(message[start:end])
            at = end
    except ValueError:
        return bytes(message), []
    return b"".join(kept), raw


def _end(message: memoryview, wire: int, at: int) -> int:
    """Where the value of a field ends. Raises `ValueError`."""
    if wire == LENGTH:
        size, at = _varint(message, at)
        end = at + size
    elif wire == VARINT:
        _, end = _varint(message, at)
    elif wire in (FIXED64, FIXED32):
        end = at + (8 if wire == FIXED64 else 4)
    else:
        raise ValueError
    if end > len(message):
        raise ValueError
    return end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises `ValueError`."""
    value = shift = 0
    for place in range(at, min(at + MAX_VARINT, len(message))):
        byte = message[place]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place + 1
        shift += 7
    raise ValueError
