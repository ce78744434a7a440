"""Columns of bundles, matched by name: which inputs of one bundle are among another's, and where.

Two inputs are the same column when they have the same name, type and definition, as both bundles were sealed with. Of a bundle
that was sealed without definitions names are all there is to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.core.ids import digest, short
from noria.core.signature import SignatureMismatch, unlike
from noria.core.sql import quoted
from noria.data.rows import Rows
from noria.models.bundle import Bundle, Manifest

OF_A_VIEW = ("table", "key", "event_time", "known_at", "deleted", "entity", "freshness", "closed")  # all that changes every value of it


def definitions_of(manifest: Manifest) -> Mapping[str, Any] | None:
    """The definitions that a bundle was sealed with, as `FeatureSet.definition` gives them; None where it has none."""
    return manifest.lineage.definitions


def sealed_columns(manifest: Manifest) -> dict[str, str | None]:
    """The inputs of a bundle in their order: name → hash of the definition, None where it was sealed without."""
    definitions = definitions_of(manifest)
    known = {} if definitions is None else _defined(definitions)
    return {name: known.get(name) for name in manifest.signature.names}


def _defined(definitions: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for view in definitions["views"]:
        common = {name: view.get(name) for name in OF_A_VIEW}
        found |= {name: digest([common, text]) for name, text in view["aggregate"].items()}
        latest = view["latest"] if isinstance(view["latest"], Mapping) else {name: quoted(name) for name in view["latest"]}
        found |= {name: digest([common, sql, view["ttl"]]) for name, sql in latest.items()}
    for transform in definitions["request"].values():
        found |= {name: digest([definitions["spine"], transform["code"]]) for name in transform["features"]}
    return found


def lacking(wanted: Bundle, had: Bundle) -> list[str]:
    """The inputs of a bundle that are not among another's: of another name or type, or defined otherwise."""
    known = sealed_columns(had.manifest)
    unalike = set(unlike(wanted.signature.inputs, had.signature.inputs))
    return [name for name, own in sealed_columns(wanted.manifest).items() if name in unalike or _differ(own, known[name])]


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def in_order(wanted: Bundle, had: Bundle, rows: Rows) -> Rows:
    """Rows of one bundle's inputs as another reads them: its columns, by name. Raises `SignatureMismatch`."""
    require_columns(wanted, had)
    return rows.select(wanted.signature.inputs, f"bundle {short(wanted.id)}")


def require_columns(wanted: Bundle, had: Bundle) -> None:
    """Raise `SignatureMismatch` unless a bundle's inputs are all among another's."""
    missing = lacking(wanted, had)
    if missing:
        raise SignatureMismatch(reader=f"bundle {short(wanted.id)}", missing=missing, available=had.features)
