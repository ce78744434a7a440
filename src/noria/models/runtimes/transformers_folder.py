"""The loader of folders of Hugging Face's transformers. It reads safetensors, and runs the library's own code alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.models.runtimes.columns import Columns

BATCH = 32  # texts that the model reads at once
MAX_PARTS = 256  # tokens of an answer, unless the folder says otherwise
HELD_BACK = "\ufffd"  # what a decoder writes for a letter of which only some bytes are there


def load(folder: Path) -> Any:
    """The model of a folder: a classifier of texts, or one that generates them."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra(library="transformers", extra="transformers", needed_for="a model of Hugging Face") from error
    transformers.logging.set_verbosity_error()
    local = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
    config = transformers.AutoConfig.from_pretrained(folder, **local)
    weights = {**local, "use_safetensors": True}
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or ()):
        return Generator(tokenizer, transformers.AutoModelForCausalLM.from_pretrained(folder, **weights).eval())
    return Classifier(tokenizer, transformers.AutoModelForSequenceClassification.from_pretrained(folder, **weights).eval())


class Classifier:
    """A classifier of texts: the probability of each label, or the number of a regression."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self._tokenizer, self._model = tokenizer, model
        self._kind = getattr(model.config, "problem_type", None)
        limit = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
        self._most = int(min(tokenizer.model_max_length, limit))

    def predict(self, columns: Columns) -> NDArray[Any]:
        texts = [text or "" for text in columns["text"].to_pylist()]
        return np.concatenate([self._answers(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])

    def _answers(self, texts: list[str]) -> NDArray[Any]:
        import torch

        read = self._tokenizer(texts, padding=True, truncation=True, max_length=self._most, return_tensors="pt")
        with torch.inference_mode():
            found = self._model(**read).logits.to(torch.float64)
        if self._kind == "regression":
            return np.asarray(found[:, 0] if found.shape[1] == 1 else found)
        if self._kind == "multi_label_classification" or found.shape[1] == 1:
            chances = torch.sigmoid(found)
            return np.asarray(chances[:, 0] if found.shape[1] == 1 else chances)
        return np.asarray(torch.softmax(found, 1))


class Generator:
    """A model that continues a text, with the likeliest word each time, so that the same prompt has the same answer."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self._tokenizer, self._model = tokenizer, model
        settings = getattr(model, "generation_config", None)
        self._most = getattr(settings, "max_new_tokens", None) or MAX_PARTS
        ends = getattr(settings, "eos_token_id", None)
        given = inspect.signature(model.forward).parameters
        self._cache = "cache" if "cache" in given else "past_key_values"  # as the library has called it at different times
        self._ends = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}

    def stream(self, row: dict[str, Any]) -> Iterator[str]:
        """The parts of a text that follows `row["prompt"]`."""
        import torch

        tokens: list[int] = []
        read = self._tokenizer(row["prompt"] or "", return_tensors="pt").input_ids
        cache, said = None, ""
        with torch.inference_mode():
            while len(tokens) < self._most:
                found = self._model(read, use_cache=True, **{self._cache: cache})
                cache, token = getattr(found, self._cache), int(found.logits[0, -1].argmax())
                if token in self._ends:
                    break
                tokens.append(token)
                read = torch.tensor([[token]])
                text = self._tokenizer.decode(tokens, skip_special_tokens=True)
                if len(text) > len(said) and not text.endswith(HELD_BACK):
                    yield text[len(said) :]
                    said = text
        rest = self._tokenizer.decode(tokens, skip_special_tokens=True)[len(said) :]
        if rest:
            yield rest
