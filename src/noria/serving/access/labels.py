"""Access labels: what the key or token of a request may read, and what becomes of the labels that a body names.

A model of the task `generation` reads its asker's labels from the input `access`. They are the key's. A body may name some of them, to read
less; what it names beyond them is left out. A key with the label `*` is trusted to name any, for a service that knows its own users.
Whoever has no key reads what everybody may.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.serving.generated import ACCESS, place_of_input
from noria.serving.protocol.request import PredictRequest

ANY = "*"


def place_of_labels(bundle: Bundle) -> int | None:
    """Where the labels stand among a bundle's inputs; None where it reads none."""
    return place_of_input(bundle, ACCESS, (None,))


def allowed(named: Sequence[str] | None, labels: Sequence[str]) -> list[str]:
    """The labels that count, of those that a body names (None: it names none) and those of the key."""
    if ANY in labels:
        return [label for label in (named if named is not None else labels) if label is not None and label != ANY]
    return list(labels) if named is None else [label for label in named if label in labels]


def limit(asked: PredictRequest, place: int, labels: Sequence[str]) -> None:
    """Have a request's rows read what its asker may."""
    if asked.entities is not None:
        return
    if isinstance(asked.rows, Rows):
        asked.rows = _of_columns(asked.rows, place, labels)
    else:
        asked.rows = [(*row[:place], allowed(_listed(row[place]), labels), *row[place + 1 :]) for row in asked.rows]


def _listed(value: Any) -> list[str] | None:
    return None if value is None else list(value)


def _of_columns(rows: Rows, place: int, labels: Sequence[str]) -> Rows:
    own = rows.fields[place]
    given = [(allowed(named, labels),) for named in rows.column(own.name).to_pylist()]
    narrowed = Rows.of_values((own,), given).column(own.name)
    return rows.replaced(own.name, narrowed)
