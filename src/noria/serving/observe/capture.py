"""Captured requests: a share of what came in, as it came in, with what was answered; for `noria replay-request`.

A line of JSON each, in a file per worker. Keys are never captured. The file has a bound; what comes after it is counted, not kept.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from noria.core.clock import Clock
from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.serving.transport.body import Content
from noria.serving.transport.head import Head
from noria.serving.transport.http1 import Answer
from noria.serving.transport.reply import Reply

FOLDER = "captured"
MAX_BYTES = 64 * 1024 * 1024
HEADERS = (b"content-type", b"inference-header-content-length", b"x-noria-priority")


class Captured(msgspec.Struct):
    """One request and its answer. Bodies are text where they are UTF-8, else base64 (`binary`)."""

    at: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: str
    binary: bool = False

    @property
    def body_bytes(self) -> bytes:
        return base64.b64decode(self.body) if self.binary else self.body.encode()


class CaptureAndRedact(UserMistake):
    """Requests are to be captured whole, and fields to be redacted: both can't be."""

    code = "NR-537"

    def __init__(self) -> None:
        super().__init__(
            what="captured requests would contain fields that must be redacted",
            where="serving.capture_share and serving.redact",
            fix="set only one of them",
        )


class Capture:
    """Captures the requests of one worker."""

    def __init__(self, folder: Path, writer: str, share: float, clock: Clock, files: Files) -> None:
        self._share, self._clock = share, clock
        self._random = Random(writer)
        files.make_folder(folder)
        self._file = files.append(folder / f"{writer}.jsonl")
        self.kept = self.left_out = 0

    def around(self, head: Head, answer: Answer) -> Answer:
        """The same answer, some of whose requests are captured."""

        def captured(body: Content, reply: Reply) -> None:
            if self._random.random() < self._share:
                reply.observed = partial(self._record, head, body)
            answer(body, reply)

        return captured

    def _record(self, head: Head, body: Content, status: int, answer: bytes) -> None:
        if self._file.size() > MAX_BYTES:
            self.left_out += 1
            return
        headers = {name.decode(): head.header(name) for name in HEADERS if name in head.headers}
        text, binary = _text(bytes(body))
        told, _ = _text(answer)
        made = Captured(self._clock.now().isoformat(), head.method, head.target.decode("latin-1"), headers, text, status, told, binary)
        self._file.write(msgspec.json.encode(made) + b"\n")
        self.kept += 1

    def close(self) -> None:
        self._file.close()


def read_captured(path: Path) -> list[Captured]:
    """The requests of a file; a last line that a kill tore is left out. Raises `BadCapture`."""
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(Captured).decode
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            found.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadCapture(path, number, str(error)) from error
    return found


class BadCapture(UserMistake):
    """A file is not one of captured requests."""

    code = "NR-538"

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(
            what="this is not a file of captured requests", where=f"{path}, line {line}: {reason}", fix="pass a worker's capture file"
        )


def _text(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True
