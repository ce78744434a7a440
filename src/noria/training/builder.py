"""Builders: trainers that learn nothing from outcomes, but build a model from tables as they were known at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from noria.core.progress import Tell
from noria.data.table import SnapshotRows, Table


@runtime_checkable
class Builder(Protocol):
    """What builds a model, such as an application of a language model from the documents of a corpus.

    tables: that it reads, beside what the model's features do
    """

    @property
    def tables(self) -> tuple[Table, ...]: ...

    def code_hash(self) -> str: ...
    def parameters(self) -> dict[str, Any]: ...

    def build(self, facts: Mapping[str, SnapshotRows], as_of: datetime, tell: Tell) -> Any:
        """The model as of a moment, of anything that an exporter takes. facts: of each of its tables, by name"""
