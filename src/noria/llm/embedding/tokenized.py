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
from noria.core.processes import usable_cores
from noria.llm.embedding.port import NotAnEmbedder

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
MAX_TOKENS = 512  # where the folder does not say how many a model reads
BATCH_TOKENS = 8_192  # of all texts of a batch, padding included: about as fast as larger ones, in little memory
TOKENIZED_AT_ONCE = 2_000  # texts, so that the tokens of a whole corpus are never in memory
MAX_LETTERS = 100  # of a token: what is longer by as much is cut before it is tokenized
GIVEN = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
Tokens = dict[str, NDArray[np.int64]]
Text = str | tuple[str, str]  # a text, or a pair that is read together


@dataclass(frozen=True)
class Batch:
    """Texts that are read together. places: of those that were given; cut: the places of those that were longer than the model reads"""

    places: list[int]
    fed: Tokens
    cut: list[int]


@dataclass(frozen=True)
class TokenizedFolder:
    """The tokenizer of a folder. max_tokens: of a text that are read, with the marks around it; None: as the folder says"""

    folder: Path
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if not (self.folder / TOKENIZER).is_file():
            raise NotAnEmbedder(self.folder, f"there is no {TOKENIZER}")

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, which pads nothing, and cuts as the model was trained: its closing mark stays. Raises `MissingExtra` and
        `NotAnEmbedder`."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(library="tokenizers", extra="llm", needed_for="embeddings") from error
        try:
            found = Tokenizer.from_file(str(self.folder / TOKENIZER))
        except Exception as error:  # of the library, which raises plain exceptions
            raise NotAnEmbedder(self.folder, f"{TOKENIZER} can't be read: {error}") from error
        found.no_padding()
        found.enable_truncation(self.reads)
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

    def batches(self, texts: Sequence[Text], names: Sequence[str] = tuple(GIVEN)) -> Iterator[Batch]:
        """The texts in batches, long ones first, so that memory that is not there is missed at once. names: of what the graph takes"""
        for at in range(0, len(texts), TOKENIZED_AT_ONCE):
            some = texts[at : at + TOKENIZED_AT_ONCE]
            encoded = self.tokenizer.encode_batch([self._shortened(text) for text in some])
            cut = {place for place, each in enumerate(encoded) if each.overflowing or self._shortened(some[place]) != some[place]}
            order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].ids))
            begins = 0
            while begins < len(order):
                longest = len(encoded[order[begins]].ids)
                places = order[begins : begins + max(1, BATCH_TOKENS // max(longest, 1))]
                fed = _padded([encoded[place] for place in places], names, longest)
                yield Batch([at + place for place in places], fed, [at + place for place in places if place in cut])
                begins += len(places)

    def _shortened(self, text: Text) -> Text:
        most = self.reads * MAX_LETTERS
        return text[:most] if isinstance(text, str) else (text[0][:most], text[1][:most])


@dataclass(frozen=True)
class OnnxFolder(TokenizedFolder):
    """A model of texts in a folder: its graph and its tokenizer.

    threads: that a batch is computed with; 0: as many as there are cores for this process; graph: a file that is not the folder's own
    """

    threads: int = 0
    graph: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path.is_file():
            raise NotAnEmbedder(self.folder, f"there is no {self.path.name}")

    @property
    def path(self) -> Path:
        return self.graph or self.folder / MODEL

    @cached_property
    def session(self) -> Any:
        """The graph. Raises `NotAnEmbedder`."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.threads or usable_cores(), 3
        try:
            found = ort.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of ONNX Runtime, whose errors share no base
            raise NotAnEmbedder(self.folder, f"{self.path.name} can't be loaded: {error}") from error
        for each in found.get_inputs():
            if each.name not in GIVEN:
                raise NotAnEmbedder(self.folder, f"{self.path.name} has an input {each.name!r}, which no tokenizer gives")
        return found

    @cached_property
    def sha256(self) -> str:
        """Of the graph and the tokenizer."""
        return digest([digest(path.read_bytes()) for path in (self.path, self.folder / TOKENIZER)])

    @property
    def size(self) -> int | None:
        """The last dimension of the graph's first output; None where the graph does not say."""
        size = self.session.get_outputs()[0].shape[-1]
        return size if isinstance(size, int) else None

    def run(self, texts: Sequence[Text]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Each batch of texts with the graph's first output for it."""
        names = [each.name for each in self.session.get_inputs()]
        for batch in self.batches(texts, names):
            yield batch, np.asarray(self.session.run(None, batch.fed)[0], np.float32)


def _padded(encoded: Sequence[Any], names: Sequence[str], longest: int) -> Tokens:
    """Tokens `(texts, longest)`, with zeros after shorter ones."""
    fed = {}
    for name in names:
        padded = np.zeros((len(encoded), longest), np.int64)
        for row, each in enumerate(encoded):
            values = getattr(each, GIVEN[name])
            padded[row, : len(values)] = values
        fed[name] = padded
    return fed
