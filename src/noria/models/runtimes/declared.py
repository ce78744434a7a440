"""What a loaded Python model can do, by its methods: answer batches, answer in parts, and wait for a network while it does.

A model waits where its `stream` is an asynchronous generator, or where it says so: `waits = True`. Its answers then are made side by side.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from noria.core.signature import Signature
from noria.data.rows import Fields
from noria.models.runtimes.one_answer import Stream


def streams_text(outputs: Fields) -> bool:
    """Whether answers of these outputs may be made in parts: the first is a single text."""
    return (outputs[0].type, outputs[0].shape) == ("string", ())


def stream_of(model: Any, signature: Signature) -> Stream | None:
    """The model's method `stream`, where its first output is a text; what else may bear the name means nothing. Raises `TypeError`."""
    found = getattr(model, "stream", None)
    if not (callable(found) and streams_text(signature.outputs)):
        return None
    if inspect.iscoroutinefunction(found):
        raise TypeError("its method `stream` is a coroutine; make it a generator, ordinary or asynchronous: `yield` each part")
    if inspect.isasyncgenfunction(found):
        from noria.models.runtimes.async_streams import EventLoop  # asyncio, which other models' processes do not need

        return EventLoop().made_ordinary(found)
    method: Stream = found
    return method


def waits(model: Any, stream: Stream | None) -> bool:
    """Whether its answers are made side by side. Raises `TypeError` for one that says so, and makes no parts."""
    says = getattr(model, "waits", False) is True
    if says and stream is None:
        raise TypeError(f"{type(model).__name__} says that it waits, and has no method `stream` that makes a text")
    return stream is not None and (says or inspect.isasyncgenfunction(model.stream))


def predict_of(model: Any, *, streams: bool) -> Callable[[Any], Any] | None:
    """What answers a batch at once: the model's `predict`, or the model itself; None where it only streams. Raises `TypeError`."""
    found = getattr(model, "predict", None)
    if not callable(found):
        found = None if streams or not callable(model) else model
    if inspect.isgeneratorfunction(found):
        raise TypeError("its `predict` is a generator; call it `stream`: it is given one row, and makes its answer's parts")
    if inspect.iscoroutinefunction(found):
        raise TypeError("its `predict` is a coroutine; make it an ordinary function, or answer in parts: `async def stream`")
    if found is None and not streams:
        raise TypeError(f"{type(model).__name__} has a method `stream`, but its first output is not a text")
    return found
