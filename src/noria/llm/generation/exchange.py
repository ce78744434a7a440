"""One request to a chat completions server, and its answer: whole, or in parts. Nothing is tried again here."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from noria.llm.generation.events import Events, TooLong
from noria.llm.generation.failures import BadAnswer, BadRequest, NoAnswer, NotAnswered
from noria.llm.generation.pace import Pace
from noria.llm.generation.refusals import ModelServer, broken, refusal
from noria.llm.generation.transport import READ, Transport
from noria.llm.generation.wire import NOT_JSON, Answer, Garbage, ServerError, error_in

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

ERROR_BYTES = 64 * 1024  # that are read of an error
LINGER = 0.05  # seconds in which the end of a complete answer's transfer is waited for, so that its connection can be kept


FILTER = "content_filter"  # the error of a server, such as Azure's, whose filter withholds the answer


@dataclass(frozen=True)
class Exchange:
    """most: bytes of an answer, at most; connect: seconds until there is a connection"""

    transport: Transport
    most: int
    connect: float

    def whole(self, asked: ModelServer, body: Mapping[str, Any], headers: Mapping[str, str], pace: Pace, answer: Answer) -> None:
        """Have the answer put into `answer`. Raises `NoAnswer`."""
        with self._failures(asked, answer, pace), self._sent(asked, body, headers, pace) as response:
            self._answer(asked, response, answer)

    def parts(self, asked: ModelServer, body: Mapping[str, Any], headers: Mapping[str, str], pace: Pace, answer: Answer) -> Generator[str]:
        """The texts of an answer as they come; what else is known of it is put into `answer`. Raises `NoAnswer`."""
        with self._failures(asked, answer, pace), self._sent(asked, body, headers, pace) as response:
            kind = response.headers.get("content-type", "")
            if "json" in kind or "html" in kind:  # a server that does not stream sends the whole, and one that is none a page
                if text := self._answer(asked, response, answer):
                    yield text
                return
            for event in self._events(asked, response, answer, pace):
                piece = answer.add(event)
                if piece.text:
                    yield piece.text
                if piece.alive:
                    pace.part()
            if not answer.ended and answer.finish is None:
                raise NotAnswered(asked.provider, "the stream ended before the answer did", partial=answer.text)

    def _events(self, asked: ModelServer, response: BaseHTTPResponse, answer: Answer, pace: Pace) -> Iterator[bytes]:
        events, size = Events(self.most), 0
        while piece := response.read1(READ):
            size += len(piece)
            for event in events.add(piece):
                if event == b"[DONE]":
                    answer.ended = True
                    _drain(response, pace)
                    return
                yield event
            if size > self.most:
                raise TooLong
        rest = events.end()
        if rest == b"[DONE]":
            answer.ended = True
        elif rest is not None:
            try:
                msgspec.json.decode(rest)
            except NOT_JSON:
                raise NotAnswered(asked.provider, "the stream ended within an event", partial=answer.text) from None
            yield rest

    @contextmanager
    def _sent(self, asked: ModelServer, body: Mapping[str, Any], headers: Mapping[str, str], pace: Pace) -> Iterator[BaseHTTPResponse]:
        try:
            encoded = msgspec.json.encode(body)
        except (TypeError, ValueError) as error:  # half of a UTF-16 pair in a text, or something in `extra` that JSON does not have
            raise BadRequest(asked.provider, f"it can't be sent: {error}", "give texts that are Unicode, and plain data") from None
        with self.transport.post(encoded, headers, pace) as response:
            if response.status != 200:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise ServerError(error_in(response.read(ERROR_BYTES)), response.status, headers)
            yield response

    def _answer(self, asked: ModelServer, response: BaseHTTPResponse, answer: Answer) -> str:
        text = answer.add(self._all(asked, response)).text
        if answer.finish is None and not text:
            raise Garbage("it has no choice with a message")
        answer.ended = True
        return text

    def _all(self, asked: ModelServer, response: BaseHTTPResponse) -> bytes:
        found = bytearray()
        while piece := response.read1(READ):
            found += piece
            if len(found) > self.most:
                raise TooLong
        if not found:
            raise NotAnswered(asked.provider, "the answer is empty")
        return bytes(found)

    @contextmanager
    def _failures(self, asked: ModelServer, answer: Answer, pace: Pace) -> Iterator[None]:
        """What goes wrong within, as one of our errors."""
        from urllib3.exceptions import HTTPError

        try:
            yield
        except NoAnswer as failure:
            failure.partial = answer.text
            raise
        except ServerError as error:
            if FILTER in error.said.code:
                answer.finish, answer.ended = "filtered", True
                return
            refused = refusal(asked, error.status, error.said, error.headers)
            refused.partial = answer.text
            raise refused from None
        except Garbage as error:
            raise BadAnswer(asked.provider, asked.without_secrets(str(error)), partial=answer.text) from None
        except TooLong:
            raise BadAnswer(asked.provider, f"it is longer than {self.most:,} bytes", partial=answer.text) from None
        except (HTTPError, OSError) as error:
            raise broken(asked, error, pace, self.connect, answer.text) from None


def _drain(response: BaseHTTPResponse, pace: Pace) -> None:
    """Read the end of a transfer whose answer is complete; where it does not come at once, the connection is given up."""
    pace.linger(LINGER)
    try:
        while response.read1(READ):
            pass
    except Exception:  # noqa: BLE001 - the answer is there; what is wrong with the connection ends with it
        response.close()
