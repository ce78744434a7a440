"""Texts of any length in Pinecone, whose records have 40 kB of metadata at most: in pieces, written once, read when all are seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noria.integrations.pinecone_client import Pinecones, is_missing
from noria.llm.index.port import StoreFailed

KEPT = "kept"  # the namespace
PIECE = 30_000  # ASCII characters
PIECES_AT_ONCE = 50  # 1.5 MB of the 2 MB that a request may have
IDS_AT_ONCE = 1_000


class Kept:
    """The texts of one index, by `<kind>.<name>`. A name has no dot."""

    def __init__(self, client: Pinecones, index: str, place: str) -> None:
        self._client, self._name, self._place, self.dimension = client, index, place, 0
        self._known = dict[str, str]()  # what was read: it never changes

    @property
    def _index(self) -> Any:
        return self._client.index(self._name)

    def unit(self) -> list[float]:
        """A vector for records that are never searched: Pinecone wants one, and not of zeros alone."""
        return [1.0, *([0.0] * (self.dimension - 1))]

    def write(self, id: str, text: str) -> None:
        """Write a text, and wait until it is seen."""
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)] or [""]
        records = [
            {"id": f"{id}.{number}", "values": self.unit(), "metadata": {"pieces": len(pieces), "text": piece}}
            for number, piece in enumerate(pieces)
        ]
        for at in range(0, len(records), PIECES_AT_ONCE):
            self._client.ask(self._index.upsert, vectors=records[at : at + PIECES_AT_ONCE], namespace=KEPT)
        kind, name = id.split(".")
        self._client.until(lambda: self._read(id) == text and name in self.names(kind), f"the record {id}")

    def read(self, id: str) -> str | None:
        """A text; None where it is not there."""
        if id not in self._known:
            found = self._read(id)
            if found is None:
                return None
            self._known[id] = found
        return self._known[id]

    def _read(self, id: str) -> str | None:
        first = self._pieces([f"{id}.0"])
        if not first:
            return None
        count = int(first[f"{id}.0"]["pieces"])
        ids = [f"{id}.{number}" for number in range(count)]
        found = first
        for at in range(1, count, PIECES_AT_ONCE):
            found |= self._pieces(ids[at : at + PIECES_AT_ONCE])
        return "".join(str(found[each]["text"]) for each in ids) if all(each in found for each in ids) else None

    def _pieces(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        found = self._client.ask(self._index.fetch, ids=ids, namespace=KEPT).vectors
        return {id: each.metadata for id, each in found.items() if each.metadata}

    def names(self, kind: str) -> list[str]:
        """The names of a kind's texts."""
        return [each.split(".")[1] for each in self._ids(f"{kind}.") if each.endswith(".0")]

    def _ids(self, prefix: str) -> Iterator[str]:
        pages = self._client.ask(lambda: list(self._index.list(prefix=prefix, limit=100, namespace=KEPT)))
        return (each.id for page in pages for each in page.vectors)

    def remove(self, id: str) -> None:
        """Remove a text, and wait until it is not seen."""
        self._known.pop(id, None)
        ids = list(self._ids(f"{id}."))
        for at in range(0, len(ids), IDS_AT_ONCE):
            try:
                self._client.ask(self._index.delete, ids=ids[at : at + IDS_AT_ONCE], namespace=KEPT)
            except StoreFailed as error:
                if not is_missing(error):
                    raise
        self._client.until(lambda: not list(self._ids(f"{id}.")), f"that {id} is gone")
