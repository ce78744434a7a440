"""What each build added and removed, for stores that can't list the rows of a chain: written once, when a build is sealed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_VALUES = 10_000  # of a field's texts that are kept, so that they can be compared by their order


@dataclass(frozen=True)
class Entry:
    """A build's entry. added: its rows, key → id; removed: the ids of rows that it removed

    texts: the values of its rows by field, as they are stored; None for a field with too many
    """

    build: str
    added: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    texts: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    def packed(self) -> str:
        """As a text of letters, digits, `+`, `/` and `=`."""
        written = json.dumps([self.build, dict(self.added), self.removed, dict(self.texts)])
        return base64.b64encode(zlib.compress(written.encode())).decode()

    @staticmethod
    def unpacked(text: str) -> Entry:
        """What was packed. Raises `ValueError` for other texts."""
        try:
            build, added, removed, texts = json.loads(zlib.decompress(base64.b64decode(text)))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        return Entry(build, added, tuple(removed), {name: None if values is None else tuple(values) for name, values in texts.items()})


def seen(chain: Iterable[Entry]) -> dict[str, str]:
    """The rows that a chain of builds sees, oldest build first: key → id."""
    rows = dict[str, str]()
    for entry in chain:
        gone = set(entry.removed)
        rows = {key: id for key, id in rows.items() if id not in gone} | dict(entry.added)
    return rows


def texts_of(chain: Iterable[Entry], name: str) -> tuple[str, ...] | None:
    """The texts that rows of a chain may have in a field; None where there are too many to know."""
    there = set[str]()
    for entry in chain:
        values = entry.texts.get(name, ())
        if values is None:
            return None
        there.update(values)
    return tuple(sorted(there)) if len(there) <= MAX_VALUES else None


def limited(texts: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...] | None]:
    """The texts of a build's rows as an entry keeps them."""
    return {name: tuple(sorted(values)) if len(values) <= MAX_VALUES else None for name, values in ((n, set(v)) for n, v in texts.items())}
