"""Documents that another library has loaded, as Noria's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from noria.core.ids import digest
from noria.llm.documents.document import Document, Value
from noria.llm.documents.extract import MARKDOWN
from noria.llm.documents.languages import LANGUAGES

SOURCES = ("source", "file_path", "url", "path")  # of metadata, by which loaders say where a text is from
PAGES = ("page_label", "page", "seq_num", "row", "start_index")


def loaded(given: Iterable[tuple[str | None, str, Mapping[str, Any]]], access: tuple[str, ...] = ()) -> Iterator[Document]:
    """The documents of (id or None, text, metadata), in their order; those without a text are left out.

    One without an id is known by where it is from and its page, or by its text; the second of one name is `name#2`, and so on, so that
    the same load gives the same names.
    """
    seen = Counter[str]()
    for own, text, metadata in given:
        if not text.strip():
            continue
        source = str(next((metadata[name] for name in SOURCES if metadata.get(name)), ""))
        page = next((str(metadata[name]) for name in PAGES if metadata.get(name) is not None), "")
        name = own or (f"{source}#{page}" if source and page else source) or digest(text)[:32]
        seen[name] += 1
        number = f"#{seen[name]}" if seen[name] > 1 else ""
        ending = PurePosixPath(source).suffix.lower()
        kind = "markdown" if ending in MARKDOWN else "code" if ending in LANGUAGES else "plain"
        title = str(metadata.get("title") or PurePosixPath(source).stem)
        plain: dict[str, Value] = {str(key): value for key, value in metadata.items() if _is_value(value)}
        yield Document(name + number, text, kind, title, LANGUAGES.get(ending, ""), metadata=plain, access=access)


def _is_value(value: Any) -> bool:
    return isinstance(value, str | bool | int) or (isinstance(value, float) and value == value)
