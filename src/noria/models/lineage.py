"""Lineage: from what a bundle was made, so that each of its predictions can be traced back to rows and code."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from noria.core.calendar import Period


class TableVersion(msgspec.Struct, frozen=True):
    """One version of a table; digest: of its content."""

    table: str
    version: int
    digest: str
    rows: int


class LabelOf(msgspec.Struct, frozen=True):
    """The column whose values are the outcomes; positive: the value that counts as 1, where one was declared."""

    table: str
    column: str
    positive: Any = None


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A training, as its bundle states it.

    tables: in the versions that were read; start, as_of: rows predicted in between were taken, as they were known at `as_of`
    training_set: its content hash; rows: how the spine's rows became the training set's, as `Balance.to_dict` has it
    trainer_code: hash of the trainer's code; parameters: that it was called with
    definitions: of the features, as `FeatureSet.definition` has them; None: of a bundle that was sealed without
    reference: the period whose rows inputs are compared with later; None: all of the training set
    """

    tables: tuple[TableVersion, ...]
    label: LabelOf
    start: datetime
    as_of: datetime
    training_set: str
    rows: dict[str, Any]
    trainer_code: str
    parameters: dict[str, Any]
    definitions: Mapping[str, Any] | None = None
    reference: Period | None = None


def environment(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of Python, of Noria, and of those of the libraries that are installed: what a model's digits depend on."""
    found = {"python": platform.python_version(), "noria": version("noria")}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
