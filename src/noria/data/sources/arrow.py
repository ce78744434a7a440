"""Arrow rows as a piece of a source: what streams deliver, and what is pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.data.sources.port import Piece, RawRow
from noria.data.types import load_arrow

if TYPE_CHECKING:
    import pyarrow as pa


def piece_of(place: str, rows: pa.Table, raw: tuple[RawRow, ...] = (), *, sparse: bool = False, alone: bool = False) -> Piece:
    """Rows as a piece; a column of nulls has no type of its own. Raises `UnsupportedType` when it is loaded."""
    return Piece(place, lambda con, name: load_arrow(con, name, place, rows.schema, rows.to_batches(), raw, sparse=sparse), alone)
