"""A graph run by OpenVINO, which multiplies in bfloat16 where the processor does (AMX, AVX-512), and joins more operators.

It reads the same ONNX files, so that nothing else about a model is another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.core.processes import usable_cores
from noria.llm.embedding.port import NotAnEmbedder
from noria.llm.embedding.tokenized import GIVEN, Batch, OnnxFolder, Text

Numbers = Literal["float32", "bfloat16"]
HINTS = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class OpenVinoFolder(OnnxFolder):
    """numbers: what is multiplied; bfloat16 stays float32 on a processor that has none"""

    numbers: Numbers = "bfloat16"

    @cached_property
    def compiled(self) -> Any:
        """The graph. Raises `MissingExtra` and `NotAnEmbedder`."""
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra(library="openvino", extra="openvino", needed_for="models that OpenVINO runs") from error
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.numbers],
            "INFERENCE_NUM_THREADS": self.threads or usable_cores(),
            "PERFORMANCE_HINT": "LATENCY",  # one batch after another, each by all threads
        }
        try:
            found = core.compile_model(core.read_model(self.path), "CPU", settings)
        except Exception as error:  # of OpenVINO, whose errors share no base
            raise NotAnEmbedder(self.folder, f"OpenVINO can't load {self.path.name}: {str(error).splitlines()[-1][:200]}") from error
        for name in _names(found):
            if name not in GIVEN:
                raise NotAnEmbedder(self.folder, f"{self.path.name} has an input {name!r}, which no tokenizer gives")
        return found

    @property
    def size(self) -> int | None:
        shape = self.compiled.output(0).partial_shape
        return int(shape[-1].get_length()) if shape.rank.is_static and shape[-1].is_static else None

    def run(self, texts: Sequence[Text]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        for batch in self.batches(texts, _names(self.compiled)):
            with self._request() as request:
                yield batch, np.asarray(request.infer(batch.fed)[0], np.float32)

    @cached_property
    def _requests(self) -> deque[Any]:
        return deque()

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """One that no other thread uses: a request computes one batch at a time, and is kept, since it has its memory."""
        try:
            found = self._requests.pop()
        except IndexError:
            found = self.compiled.create_infer_request()
        yield found
        self._requests.append(found)


def _names(compiled: Any) -> list[str]:
    return [each.get_any_name() for each in compiled.inputs]
