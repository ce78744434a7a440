"""Messages as tokens in the ChatML format, and tokens as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.llm.generation.local.gguf import Gguf, not_a_model
from noria.llm.generation.prompt import Message

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN, END = "<|im_start|>", "<|im_end|>"
CONTROL = 3  # the kind of a token that no text has


def tokenizer_of(file: Gguf) -> tuple[str, str]:
    """A GGUF file's tokenizer as JSON for the `tokenizers` library, and the system message that its template begins with by itself."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    template = str(file.setting("tokenizer.chat_template"))
    if file.setting("tokenizer.ggml.model") != "gpt2" or BEGIN not in template or END not in template:
        raise not_a_model(file.path, "its chats are not of the ChatML format, or its tokens not byte-level pairs")
    tokens, kinds = file.setting("tokenizer.ggml.tokens"), file.setting("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in file.setting("tokenizer.ggml.merges")]
    found = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if file.settings.get("tokenizer.ggml.pre") == "smollm" else []
    found.pre_tokenizer = pre_tokenizers.Sequence([*digits, byte_level])
    found.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    found.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    usual = re.search(r"<\|im_start\|>system\s(.*?)<\|im_end\|>", template, re.DOTALL)
    return found.to_str(), usual[1] if usual and "{" not in usual[1] else ""


class Chat:
    """The tokens of a conversation. What looks like a control token in a message is text: no message can end itself or begin another."""

    def __init__(self, tokenizer: Tokenizer, usual: str) -> None:
        self.tokenizer, self._usual = tokenizer, usual
        tokenizer.encode_special_tokens = True
        self._begin, self.end = (self._number(token) for token in (BEGIN, END))

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Those of the messages, and of the beginning of an answer."""
        if self._usual and not (messages and messages[0].role == "system"):
            messages = [Message("system", self._usual), *messages]
        found = list[int]()
        for message in messages:
            found += [self._begin, *self._of(f"{message.role}\n{message.content}"), self.end, *self._of("\n")]
        return [*found, self._begin, *self._of("assistant\n")]

    def decoder(self) -> Any:
        """What makes text of one token after another: `step(tokenizer, token)` is None within a letter."""
        from tokenizers.decoders import DecodeStream

        return DecodeStream(skip_special_tokens=True)

    def _of(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids)

    def _number(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the tokenizer has no {token}")
        return int(number)


class UntilStop:
    """A text that comes in parts, up to the first of several texts at which it ends: what may begin one of them waits."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held, self.stopped = tuple(stops), "", False

    def add(self, part: str) -> str:
        """What may be handed out."""
        text = self._held + part
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        keep = max((length for stop in self._stops for length in range(1, len(stop)) if text.endswith(stop[:length])), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        """The rest, where no stop came."""
        rest, self._held = self._held, ""
        return rest
