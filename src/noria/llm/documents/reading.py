"""The documents of a folder, read at once and without a table: for trials, notebooks and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.data.sources.places import place_of
from noria.llm.documents.document import Document
from noria.llm.documents.extract import KINDS, MAX_BYTES, too_large
from noria.llm.documents.isolated import GIGABYTES, SECONDS, IsolatedExtractor
from noria.llm.documents.refusals import NoDocuments, NotExtracted


@dataclass(frozen=True)
class ReadDocuments:
    """documents: in the order of their names; refused: the files without a text, and why"""

    documents: tuple[Document, ...]
    refused: Mapping[str, str]


def read_documents(
    pattern: str | Path,
    *,
    storage: Mapping[str, Any] | None = None,
    max_bytes: int = MAX_BYTES,
    seconds: float = SECONDS,
    gigabytes: float = GIGABYTES,
) -> ReadDocuments:
    """The documents of a folder, a glob or a URL, as `document_files` has them. Raises `NoDocuments`."""
    place = place_of(str(pattern), Path(), storage or {}, KINDS)
    there, found, refused = place.list(), list[Document](), dict[str, str]()
    if not there:
        raise NoDocuments(str(pattern), place.place)
    with IsolatedExtractor(seconds=seconds, gigabytes=gigabytes, max_bytes=max_bytes) as extractor:
        for path, mark in there.items():
            name = place.relative(path).lstrip("/")
            try:
                if isinstance(mark[0], int) and mark[0] > max_bytes:
                    raise too_large(name, mark[0], max_bytes)
                with place.local(path) as local:
                    found.append(extractor.extract(name, local.read_bytes()))
            except NotExtracted as error:
                refused[name] = error.reason
            except OSError as error:
                refused[name] = f"it can't be opened: {error.strerror or error}"
    return ReadDocuments(tuple(found), refused)
