"""The process that reads risky files: `python -m noria.llm.documents.child GIGABYTES PARENT`, frames in, frames out (see `isolated`)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from noria.core.errors import MissingExtra
from noria.core.processes import GIB, bound_memory, end_with, go_first
from noria.llm.documents.extract import extract, prepare
from noria.llm.documents.isolated import read_frame, told, write_frame
from noria.llm.documents.refusals import NotExtracted


def main(gigabytes: float, parent: int) -> None:
    """Read files until there are no more."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no answer
    end_with(parent)
    go_first()
    prepare()
    bound_memory(gigabytes + _taken() / GIB)
    _answer(answers, {})
    while (head := read_frame(sys.stdin.buffer)) is not None and (data := read_frame(sys.stdin.buffer)) is not None:
        asked = json.loads(head)
        _answer(answers, _read(asked["name"], data, asked["max_bytes"]))


def _read(name: str, data: bytes, max_bytes: int) -> dict[str, Any]:
    try:
        return told(extract(name, data, max_bytes=max_bytes))
    except NotExtracted as error:
        return {"memory": True} if _of_memory(error) else {"refused": [error.name, error.reason, error.fix]}
    except MissingExtra as error:
        return {"missing": {"library": error.library, "extra": error.extra, "needed_for": error.needed_for}}
    except MemoryError:
        return {"memory": True}


def _of_memory(error: BaseException | None) -> bool:
    """Whether an error came of memory that was not there, whatever it was turned into on its way."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in ("MemoryError", "bad_alloc")):
            return True
        error = error.__cause__ or error.__context__
    return False


def _taken() -> int:
    """Bytes of addresses that this process has: those of its libraries, before a file is read. 0 where the system does not say."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def _answer(answers: IO[bytes], value: dict[str, Any]) -> None:
    write_frame(answers, json.dumps(value).encode())


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
