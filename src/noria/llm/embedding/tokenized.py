"""Texts as a model reads them: tokens, in batches of texts that are about as long, cut where they are longer than it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.core.ids import digest
from noria.llm.embedding.port import NotAnEmbedder

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
MAX_TOKENS = 512  # where the folder does not say how many a model reads
BATCH_TOKENS = 8_192  # of all texts of a batch, padding included: about as fast as larger ones, in little memory
Tokens = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class OnnxFolder:
    """A model of texts in a folder: its graph and its tokenizer. threads: that a batch is computed with; 0: as many as there are cores"""

    folder: Path
    max_tokens: int | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        for name in (MODEL, TOKENIZER):
            if not (self.folder / name).is_file():
                raise NotAnEmbedder(self.folder, f"there is no {name}")

    @cached_property
    def session(self) -> Any:
        """The graph. Raises `NotAnEmbedder`."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.threads, 3
        try:
            return ort.InferenceSession(self.folder / MODEL, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of ONNX Runtime, whose errors share no base
            raise NotAnEmbedder(self.folder, f"{MODEL} can't be loaded: {error}") from error

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, which pads and cuts nothing. Raises `MissingExtra` and `NotAnEmbedder`."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(library="tokenizers", extra="llm", needed_for="embeddings") from error
        try:
            found = Tokenizer.from_file(str(self.folder / TOKENIZER))
        except Exception as error:  # of the library, which raises plain exceptions
            raise NotAnEmbedder(self.folder, f"{TOKENIZER} can't be read: {error}") from error
        found.no_padding()
        found.no_truncation()
        return found

    @cached_property
    def reads(self) -> int:
        """How many tokens of a text the model reads."""
        if self.max_tokens is not None:
            return self.max_tokens
        for name, key in (("sentence_bert_config.json", "max_seq_length"), ("config.json", "max_position_embeddings")):
            path = self.folder / name
            if path.is_file() and isinstance(found := json.loads(path.read_bytes()).get(key), int):
                return found
        return MAX_TOKENS

    @cached_property
    def sha256(self) -> str:
        """Of the graph and the tokenizer."""
        return digest([digest((self.folder / name).read_bytes()) for name in (MODEL, TOKENIZER)])

    def batches(self, texts: Sequence[Any]) -> Iterator[tuple[list[int], Tokens, int]]:
        """The places of the texts of each batch, what the graph is fed, and how many of them were cut; long texts first, so that memory
        that is not there is missed at once. texts: each a text, or a pair of texts that are read together"""
        encoded = self.tokenizer.encode_batch(list(texts))
        order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].ids))
        at = 0
        while at < len(order):
            longest = min(len(encoded[order[at]].ids), self.reads)
            places = order[at : at + max(1, BATCH_TOKENS // max(longest, 1))]
            own = [encoded[place] for place in places]
            cut = sum(len(each.ids) > self.reads for each in own)
            for each in own:
                each.truncate(self.reads)
            yield places, self._fed(own, longest), cut
            at += len(places)

    def _fed(self, encoded: Sequence[Any], longest: int) -> Tokens:
        """Tokens, padded to the longest text, as far as the graph takes them."""
        given = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        fed = {}
        for name in (each.name for each in self.session.get_inputs()):
            if name not in given:
                raise NotAnEmbedder(self.folder, f"{MODEL} has an input {name!r}, which no tokenizer gives")
            padded = np.zeros((len(encoded), longest), np.int64)
            for row, each in enumerate(encoded):
                values = getattr(each, given[name])
                padded[row, : len(values)] = values
            fed[name] = padded
        return fed
