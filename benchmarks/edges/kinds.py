"""The kinds of inputs, each a module of plain tables."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.edges import (
    arrow_types,
    contracts,
    csv_types,
    exports,
    expressions,
    json_lines,
    keys,
    labels,
    names,
    numbers,
    paths,
    schema_evolution,
    sql_types,
    streams,
    ties,
    times,
    transforms,
    upkeep,
    watermarks,
    windows,
)
from benchmarks.edges.inputs import Input

MODULES = (
    csv_types,
    json_lines,
    schema_evolution,
    arrow_types,
    sql_types,
    watermarks,
    streams,
    times,
    paths,
    contracts,
    labels,
    keys,
    expressions,
    names,
    numbers,
    windows,
    ties,
    transforms,
    upkeep,
    exports,
)
KINDS = tuple(module.KIND for module in MODULES)


def inputs_of(kind: str) -> Iterator[Input]:
    """The inputs of a kind by its name."""
    return MODULES[KINDS.index(kind)].inputs()
