"""Models behind the chat completions protocol: vLLM, TensorRT-LLM, llama.cpp, and hosted ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from noria.core.cancelling import current
from noria.llm.generation.failures import BadAnswer, BadKey, BadRequest, NoAnswer
from noria.llm.generation.pace import Pace
from noria.llm.generation.port import Completion, Options
from noria.llm.generation.prices import Prices, estimated
from noria.llm.generation.prompt import Message
from noria.llm.generation.refusals import ModelServer
from noria.llm.generation.retries import Retries
from noria.llm.generation.schemas import NotOfSchema, asked_in_words, checker, corrected, read
from noria.llm.generation.wire import Answer, body

OPENAI = "https://api.openai.com/v1"
OWN_LIMIT = ("api.openai.com", ".openai.azure.com")  # hosts that want max_completion_tokens; others may not know it
MAX_BYTES = 8 * 1024 * 1024
PATH = "/chat/completions"
SchemaMode = Literal["json_schema", "json_object", "prompt"]
Limit = Literal["max_tokens", "max_completion_tokens"]


class OpenAICompatible:
    """A `Generator` of a server that speaks OpenAI's chat completions.

    base_url: what stands before /chat/completions; key_env: the environment's variable that has the key, which may be unset where none is
    asked, None: there is none, so that a server on this machine may be asked by a bundle that nobody trusts; headers_env: further headers
    whose values are secrets too, with the variables that have them; prices: None: cost is unknown
    connect, first_part, between: seconds until the connection, from the request to the first part of a stream, and from part to part; the
    whole takes `Options.timeout`, with all attempts; retries: on 408, 409, 425, 429, 5xx and broken connections, never once a part was
    handed out; schema_mode: how a server is told a schema; corrections: how often an answer that does not meet it is given back
    limit: what the server calls the limit of tokens, None: max_tokens but for OpenAI's own; without: fields that it does not take;
    extra: further fields, such as {"top_p": 0.9}; most_bytes: of an answer. It may be used by several threads.
    """

    waits = True

    def __init__(
        self,
        model: str,
        base_url: str = OPENAI,
        *,
        key_env: str | None = "OPENAI_API_KEY",
        headers_env: Mapping[str, str] | None = None,
        prices: Prices | None = None,
        connect: float = 5.0,
        first_part: float | None = 30.0,
        between: float | None = 15.0,
        retries: Retries = Retries(),
        schema_mode: SchemaMode = "json_schema",
        corrections: int = 2,
        limit: Limit | None = None,
        without: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        most_bytes: int = MAX_BYTES,
    ) -> None:
        from noria.llm.generation.exchange import Exchange
        from noria.llm.generation.transport import Transport

        self._base_url = _base(base_url)
        host = urlsplit(self._base_url)
        self.model, self.provider = model, f"{model} at {host.netloc}"
        self._key_env, self._headers_env, self._prices, self._retries = key_env, dict(headers_env or {}), prices, retries
        self._waits = {"connect": connect, "first_part": first_part, "between": between}
        self._form = {"schema_mode": schema_mode, "without": list(without), "extra": dict(extra or {})}
        self._corrections, self._given_limit = corrections, limit
        own = str(host.hostname).endswith(OWN_LIMIT)
        self._limit: Limit = limit or ("max_completion_tokens" if own else "max_tokens")
        self._exchange = Exchange(Transport(self._base_url + PATH, connect), most_bytes, connect)

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        """The answer as a whole."""
        pace, told = Pace(options.timeout), self._told(messages, options)
        if options.schema is None:
            return self._whole(told, options, pace)
        return corrected(lambda again: self._whole(again, options, pace), told, options.schema, self._corrections, self.provider)

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        """Its parts as they come, and last the whole. One that does not meet its schema was handed out already, so it is an error."""
        pace = Pace(options.timeout, self._waits["first_part"], self._waits["between"])
        told, tries, first = self._told(messages, options), 0, None
        while True:
            tries, answer = tries + 1, Answer()
            pace.attempt()
            asked, headers = self._asked()
            try:
                with closing(self._exchange.parts(asked, self._body(told, options, stream=True), headers, pace, answer)) as parts:
                    for text in parts:
                        first = pace.seconds if first is None else first
                        yield text
                        pace.part()
                break
            except NoAnswer as failure:
                self._again(failure, tries, pace)
        made = self._completion(told, answer, pace, tries, first)
        if options.schema is not None and made.finish != "filtered":
            try:
                made = replace(made, data=read(made.text, options.schema))
            except NotOfSchema as error:
                raise BadAnswer(self.provider, f"it is not what the schema asks: {error}", partial=made.text, of_request=True) from None
        yield made

    def definition(self) -> dict[str, Any]:
        """What the answers depend on; and, as `calls`, how the server is asked."""
        calls = self._waits | {"key_env": self._key_env, "headers_env": self._headers_env, "retries": self._retries.definition()}
        calls |= {"prices": asdict(self._prices) if self._prices else None, "most_bytes": self._exchange.most}
        about = {"generator": "openai-compatible", "model": self.model, "base_url": self._base_url, "limit": self._given_limit}
        return about | self._form | {"corrections": self._corrections, "calls": calls}

    @classmethod
    def opened(cls, definition: Mapping[str, Any]) -> Self:
        """The generator of a definition."""
        told = {name: value for name, value in definition.items() if name not in ("generator", "calls")} | definition["calls"]
        prices = Prices(**told.pop("prices")) if told.get("prices") else None
        return cls(**told | {"prices": prices, "retries": Retries(**told["retries"])})

    def close(self) -> None:
        """Give up the idle connections."""
        self._exchange.transport.close()

    def _whole(self, messages: Sequence[Message], options: Options, pace: Pace) -> Completion:
        tries, began = 0, pace.seconds
        while True:
            tries, answer = tries + 1, Answer()
            asked, headers = self._asked()
            try:
                self._exchange.whole(asked, self._body(messages, options, stream=False), headers, pace, answer)
                break
            except NoAnswer as failure:
                self._again(failure, tries, pace)
        return replace(self._completion(messages, answer, pace, tries, None), seconds=pace.seconds - began)

    def _told(self, messages: Sequence[Message], options: Options) -> Sequence[Message]:
        if options.schema is None:
            return messages
        checker(options.schema)
        return messages if self._form["schema_mode"] == "json_schema" else asked_in_words(messages, options.schema)

    def _body(self, messages: Sequence[Message], options: Options, *, stream: bool) -> dict[str, Any]:
        return body(self.model, messages, options, self._form | {"limit": self._limit, "stream": stream})

    def _asked(self) -> tuple[ModelServer, dict[str, str]]:
        """Who is asked, with the headers: the secrets are read from the environment each time, and kept nowhere. Raises `BadKey`."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "noria"}
        secrets = {name: os.environ[variable].strip() for name, variable in self._secrets() if os.environ.get(variable, "").strip()}
        for name, variable in self._secrets():
            value = secrets.get(name, "")
            if not value.isascii() or not value.isprintable():
                raise BadKey(self.provider, variable, "it has characters that no header may have", given=True)
            if value:
                headers[name] = f"Bearer {value}" if name == "Authorization" else value
        return ModelServer(self.provider, self.model, self._key_env, bool(secrets), tuple(secrets.values())), headers

    def _secrets(self) -> list[tuple[str, str]]:
        key = [("Authorization", self._key_env)] if self._key_env else []
        return [*key, *self._headers_env.items()]

    def _again(self, failure: NoAnswer, tries: int, pace: Pace) -> None:
        """Wait until the next try, or raise why there is none."""
        failure.attempts = tries
        if failure.partial:  # it was handed out, and can't be taken back
            raise failure
        if self._given_limit is None and self._limit == "max_tokens" and "max_completion_tokens" in failure.what:
            self._limit = "max_completion_tokens"
            return
        wait = self._retries.wait(failure, tries, pace.left)
        if wait is None:
            raise failure
        current().sleep(wait)

    def _completion(self, messages: Sequence[Message], answer: Answer, pace: Pace, tries: int, first: float | None) -> Completion:
        usage = answer.usage
        if usage is None or (answer.text and not usage.completion_tokens):
            usage = estimated(messages, answer.text)
        return Completion(
            answer.text,
            answer.finish or "stop",
            self._prices.of(usage) if self._prices else usage,
            answer.model or self.model,
            pace.seconds,
            first,
            tries,
            provider=self.provider,
            id=answer.id,
        )


def _base(url: str) -> str:
    """The address without what must not be in it. Raises `BadRequest`."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    fix = "give an address such as http://localhost:8000/v1, and the key in the environment's variable that key_env names"
    try:
        parts = parse_url(url.strip())
    except LocationParseError:
        parts = parse_url("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise BadRequest("base_url", "it is not an HTTP(S) address", fix)
    if parts.auth or parts.query is not None or parts.fragment is not None:
        raise BadRequest(parts.host, "base_url has a name, a password or a query, which could be secret", fix)
    return url.strip().rstrip("/").removesuffix(PATH)
