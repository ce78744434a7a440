"""Embeddings by any server that speaks OpenAI's `/v1/embeddings`: OpenAI, vLLM, Text Embeddings Inference, llama.cpp, Ollama.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import SystemClock
from noria.core.errors import OutsideWorld, UserMistake
from noria.core.web import Answer, NotReached, post
from noria.llm.embedding.port import Embedded, Vectors

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
TOO_LONG = re.compile(r"context length|too long|too many tokens|maximum.{0,40}(tokens|length)|exceed", re.IGNORECASE)
MAX_ANSWER = 256 * 2**20  # bytes
BATCH_LETTERS = 100_000  # of the texts of one request
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts: doubled each time
MIN_LETTERS = 100  # of a text that is cut until a server takes it


class NoKey(UserMistake):
    """The environment variable that should have an endpoint's key is not set."""

    code = "NR-807"

    def __init__(self, name: str) -> None:
        super().__init__(
            what="the endpoint's key is not set",
            where=f"environment variable {name}",
            fix=f"set {name}, name another one with key_env=, or give key_env=None for an endpoint without a key",
        )


class EmbeddingsAway(OutsideWorld):
    """An endpoint gave no embeddings, however often it was asked."""

    code = "NR-808"

    def __init__(self, host: str, attempts: int, reason: str) -> None:
        fix = "try again later: what was embedded is kept where there is a cache"
        super().__init__(what=f"no embeddings after {attempts} attempts: {reason}", where=host, fix=fix)


class EmbeddingsRefused(UserMistake):
    """An endpoint refuses the request as it is: a wrong key, no such model, texts that it does not take."""

    code = "NR-809"

    def __init__(self, host: str, status: int, reason: str) -> None:
        fix = {401: "check the key", 403: "check what the key may do", 404: "check the model's name and the address, which ends with /v1"}
        super().__init__(
            what=f"the endpoint refused: HTTP {status} {reason}".strip(),
            where=host,
            fix=fix.get(status, "check the model and its settings"),
        )


class BadEmbeddings(OutsideWorld):
    """An endpoint answered something other than an embedding for each text."""

    code = "NR-811"

    def __init__(self, host: str, why: str) -> None:
        super().__init__(what=f"the endpoint's answer can't be used: {why}", where=host, fix="check that it serves the model that is named")


class OpenAIEmbedder:
    """A model behind an endpoint.

    base_url: with its version, `http://localhost:8000/v1`; key_env: the environment variable with the key, None: it needs none
    dimensions: that vectors are shortened to, where the model can; encoding: how numbers travel; batch: texts of one request
    max_letters: of a text, beyond which it is cut; where the server refuses a text as too long, it is cut until it is taken
    parallel: requests at once; timeout: seconds of one; attempts: of one, before `EmbeddingsAway`
    """

    waits = True

    def __init__(
        self,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        *,
        key_env: str | None = "OPENAI_API_KEY",
        dimensions: int | None = None,
        encoding: Literal["base64", "float"] = "base64",
        query_prefix: str = "",
        text_prefix: str = "",
        max_letters: int | None = None,
        batch: int = 64,
        parallel: int = 4,
        timeout: float = 30.0,
        attempts: int = 5,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query:
            why = "an address is http(s)://host/v1, without a password or a query"
            raise UserMistake(what="the endpoint's address can't be used", where=parts.hostname or "base_url", fix=why)
        self._model, self._url, self._host = model, base_url.rstrip("/"), parts.hostname
        self._key_env, self._dimensions, self._encoding = key_env, dimensions, encoding
        self._query_prefix, self._text_prefix, self._max_letters = query_prefix, text_prefix, max_letters
        self._batch, self._parallel, self._timeout, self._attempts = batch, parallel, timeout, attempts
        self._pause = pause or (lambda seconds: SystemClock().sleep(timedelta(seconds=seconds)))
        self._counting = threading.Lock()
        self.truncated = self.tokens = self.requests = 0

    @cached_property
    def dimension(self) -> int:
        return self._dimensions or len(self._batch_of(["dimension"])[0][0])

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embed_told(texts).vectors

    def embed_told(self, texts: Sequence[str]) -> Embedded:
        """Raises `NoKey`, `EmbeddingsAway`, `EmbeddingsRefused`, `BadEmbeddings`."""
        return self._embedded([self._text_prefix + text for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self._embedded([self._query_prefix + text]).vectors[0])

    def arguments(self) -> dict[str, Any]:
        """By which it is made again; the key is not among them."""
        return {
            "model": self._model,
            "base_url": self._url,
            "key_env": self._key_env,
            "dimensions": self._dimensions,
            "encoding": self._encoding,
            "query_prefix": self._query_prefix,
            "text_prefix": self._text_prefix,
            "max_letters": self._max_letters,
            "batch": self._batch,
            "parallel": self._parallel,
            "timeout": self._timeout,
            "attempts": self._attempts,
        }

    def definition(self) -> dict[str, Any]:
        return {
            "embedder": "openai-compatible",
            "model": self._model,
            "base_url": self._url,
            "dimensions": self._dimensions,
            "query_prefix": self._query_prefix,
            "text_prefix": self._text_prefix,
            "max_letters": self._max_letters,
        }

    def _embedded(self, texts: Sequence[str]) -> Embedded:
        sent = [(text if self._max_letters is None else text[: self._max_letters]) or " " for text in texts]  # an empty one is refused
        vectors, cut = np.zeros((len(texts), self.dimension), np.float32), np.zeros(len(texts), bool)
        stretches = list(self._stretches(sent))
        with ThreadPoolExecutor(max(1, min(self._parallel, len(stretches)))) as pool:
            answers = pool.map(lambda stretch: self._batch_of(sent[stretch]), stretches)
            for stretch, (found, shortened) in zip(stretches, answers, strict=True):
                if found.shape[1] != self.dimension:
                    raise BadEmbeddings(self._host, f"vectors of {found.shape[1]} numbers, where others have {self.dimension}")
                vectors[stretch], cut[stretch] = found, shortened
        cut |= np.array([len(text) > len(each) for text, each in zip(texts, sent, strict=True)], bool)
        self.truncated += int(cut.sum())
        return Embedded(vectors, cut)

    def _stretches(self, texts: Sequence[str]) -> Iterator[slice]:
        """Neighbouring texts that go into one request."""
        at = size = 0
        for place, text in enumerate(texts):
            if place > at and (place - at == self._batch or size + len(text) > BATCH_LETTERS):
                yield slice(at, place)
                at, size = place, 0
            size += len(text)
        if texts:
            yield slice(at, len(texts))

    def _batch_of(self, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of one request, and which of the texts were cut because the server takes no longer ones."""
        answer = self._asked(texts)
        if answer.status == 200:
            return self._vectors(answer.body, len(texts)), np.zeros(len(texts), bool)
        reason = self._reason(answer)
        if answer.status not in (400, 413, 422) or not TOO_LONG.search(reason):
            raise EmbeddingsRefused(self._host, answer.status, reason)
        if len(texts) > 1:
            halves = [self._batch_of(half) for half in (texts[: len(texts) // 2], texts[len(texts) // 2 :])]
            return np.concatenate([vectors for vectors, _ in halves]), np.concatenate([cut for _, cut in halves])
        if len(texts[0]) <= MIN_LETTERS:
            raise EmbeddingsRefused(self._host, answer.status, reason)
        return self._batch_of([texts[0][: max(MIN_LETTERS, len(texts[0]) * 3 // 4)]])[0], np.ones(1, bool)

    def _asked(self, texts: Sequence[str]) -> Answer:
        """The answer to one request, asked again while the server is away or busy. Raises `EmbeddingsAway`."""
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": self._encoding}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        sent = json.dumps(body).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._authorization()}
        reason = ""
        for attempt in range(self._attempts):
            wait = 0.0
            try:
                with self._counting:
                    self.requests += 1
                answer = post(f"{self._url}/embeddings", sent, headers, self._timeout, MAX_ANSWER)
                if answer.status not in RETRIED:
                    return answer
                reason, wait = f"HTTP {answer.status} {self._reason(answer)}".strip(), answer.retry_after or 0.0
            except NotReached as error:
                reason = error.where
            if attempt + 1 < self._attempts:
                backoff = FIRST_PAUSE * 2**attempt * (0.5 + random.random() / 2)  # so that many that failed together don't come together
                self._pause(min(max(wait, backoff), LONGEST_PAUSE))
        raise EmbeddingsAway(self._host, self._attempts, reason)

    def _authorization(self) -> dict[str, str]:
        if self._key_env is None:
            return {}
        key = os.environ.get(self._key_env, "")
        if not key:
            raise NoKey(self._key_env)
        return {"Authorization": f"Bearer {key}"}

    def _vectors(self, body: bytes, count: int) -> Vectors:
        """The vectors of an answer, in the order of the texts, of length 1. Raises `BadEmbeddings`."""
        try:
            found = json.loads(body)
            rows = {int(row["index"]): _numbers(row["embedding"]) for row in found["data"]}
            tokens = int((found.get("usage") or {}).get("prompt_tokens") or 0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadEmbeddings(self._host, f"it is not what OpenAI's API answers ({type(error).__name__})") from error
        if sorted(rows) != list(range(count)) or len(found["data"]) != count:
            raise BadEmbeddings(self._host, f"it has {len(found['data'])} embeddings for {count} texts")
        lengths = {len(row) for row in rows.values()}
        if len(lengths) != 1 or lengths == {0} or (self._dimensions and lengths != {self._dimensions}):
            raise BadEmbeddings(self._host, f"vectors of {', '.join(map(str, sorted(lengths)))} numbers")
        vectors = np.stack([rows[place] for place in range(count)])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise BadEmbeddings(self._host, "an embedding is zero, or has values that are no numbers")
        with self._counting:
            self.tokens += tokens
        return np.asarray(vectors / norms, np.float32)

    def _reason(self, answer: Answer) -> str:
        """What a server says of a failure, in a line, without the key."""
        text = answer.body.decode(errors="replace")
        try:
            found = json.loads(text)
            error = found.get("error", found.get("detail", found.get("message", "")))
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, AttributeError, RecursionError):
            text = re.sub(r"<[^>]*>", " ", text)
        key = os.environ.get(self._key_env or "", "")
        return " ".join((text.replace(key, "***") if key else text).split())[:200]


def _numbers(value: Any) -> NDArray[np.float32]:
    """An embedding as it travels: numbers, or their bytes in base64. Raises `ValueError`."""
    if not isinstance(value, str):
        return np.asarray(value, np.float32).reshape(-1)
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
    except binascii.Error as error:
        raise ValueError("no base64") from error
