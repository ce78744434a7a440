"""Extraction in a process of its own, which may hang, fill its memory or crash without harm: the file is refused, the next one is read.

Text, code and notebooks are read here, since their readers are bounded by their bytes. PDF, HTML and Office files go to the child as
frames: four bytes of length, then JSON or the file's bytes; JSON comes back. The child is told no environment variable but those that
Python needs, so that a reader that is taken over finds no secret there.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import IO, Any

from noria.core.clock import Stopwatch
from noria.core.errors import MissingExtra
from noria.llm.documents.document import Document, Place
from noria.llm.documents.extract import MAX_BYTES, RISKY, extract
from noria.llm.documents.refusals import NotExtracted, ReaderDied

SECONDS, GIGABYTES = 60.0, 2.0  # that one file may take
START_SECONDS = 180.0  # until the child has loaded its libraries
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class IsolatedExtractor:
    """Reads files as `extract` does, those of risky formats in a child process, which is started when there is the first of them.

    seconds, gigabytes: what one file may take; started: how many children there were
    """

    def __init__(self, *, seconds: float = SECONDS, gigabytes: float = GIGABYTES, max_bytes: int = MAX_BYTES) -> None:
        self._seconds, self._gigabytes, self._max_bytes = seconds, gigabytes, max_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self.started = 0

    def __enter__(self) -> IsolatedExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def extract(self, name: str, data: bytes) -> Document:
        """The document that a file holds. Raises `NotExtracted` with the reason, `MissingExtra`, and `ReaderDied` where no child starts."""
        if PurePosixPath(name).suffix.lower() not in RISKY or len(data) > self._max_bytes:
            return extract(name, data, max_bytes=self._max_bytes)
        child = self._child or self._begun()
        try:
            return self._asked(child, name, data)
        except (BrokenPipeError, EOFError) as error:
            code = child.wait()
            self.close()
            raise NotExtracted(
                name, f"its reader died of it ({_death(code)})", "leave it out, or save it again in another format"
            ) from error

    def _asked(self, child: subprocess.Popen[bytes], name: str, data: bytes) -> Document:
        assert child.stdin is not None
        write_frame(child.stdin, json.dumps({"name": name, "max_bytes": self._max_bytes}).encode())
        write_frame(child.stdin, data)
        found = self._answer(child, self._seconds)
        if found is None:
            self.close()
            fix = f"split it, or give it more than {self._seconds:g} s (`seconds=`)"
            raise NotExtracted(name, f"reading it took longer than {self._seconds:g} s", fix)
        if "memory" in found:
            self.close()  # what it holds is not given back
            fix = f"split it, or allow more than {self._gigabytes:g} GiB (`gigabytes=`)"
            raise NotExtracted(name, f"reading it takes more than {self._gigabytes:g} GiB of memory", fix)
        return _document(found)

    def _answer(self, child: subprocess.Popen[bytes], seconds: float) -> Any:
        """The child's next frame; None where it does not come in time."""
        assert child.stdout is not None
        watch, left, parts = Stopwatch(), 4, list[bytes]()
        size = 0
        while left:
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, seconds - watch.seconds))
            if not ready:
                return None
            part = os.read(child.stdout.fileno(), min(left, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            left -= len(part)
            if not left and not size:
                left = size = int.from_bytes(b"".join(parts), "big")
                parts = []
        return json.loads(b"".join(parts))

    def _begun(self) -> subprocess.Popen[bytes]:
        """A child that has loaded its libraries."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-P", "-m", "noria.llm.documents.child", str(self._gigabytes), str(os.getpid())]
        self._child = child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, bufsize=0
        )
        self.started += 1
        try:
            ready = self._answer(child, START_SECONDS)
        except EOFError as error:
            reason = f"its process ended at once ({_death(child.wait())})"
            self.close()
            raise ReaderDied(reason) from error
        if ready is None:
            self.close()
            raise ReaderDied(f"it did not load its libraries within {START_SECONDS:g} s")
        return child


def write_frame(to: IO[bytes], data: bytes) -> None:
    """Write one frame. Raises `BrokenPipeError` where nobody reads."""
    view = memoryview(len(data).to_bytes(4, "big") + data)
    while view:
        view = view[to.write(view) or 0 :]


def read_frame(source: IO[bytes]) -> bytes | None:
    """The next frame; None at the end."""
    head = source.read(4)
    return source.read(int.from_bytes(head, "big")) if len(head) == 4 else None


def told(document: Document) -> dict[str, Any]:
    """A document as a frame has it."""
    places = [[place.at, place.name] for place in document.places]
    return {"document": [document.id, document.text, document.kind, document.title, document.language, places]}


def _document(found: Mapping[str, Any]) -> Document:
    if "refused" in found:
        raise NotExtracted(*found["refused"])
    if "missing" in found:
        raise MissingExtra(**found["missing"])
    name, text, kind, title, language, places = found["document"]
    return Document(name, text, kind, title, language, tuple(Place(at, place) for at, place in places))


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
