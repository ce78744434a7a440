"""Columns of bundles, matched by name: which inputs of one bundle are among another's, and where.

Two inputs are the same column when they have the same name and the same definition, as both bundles were sealed with. Of a bundle
that was sealed without definitions names are all there is to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.ids import digest, short
from noria.core.sql import quoted
from noria.models.bundle import Bundle, Manifest

DEFINITIONS = "definitions"  # where a bundle's lineage has the definitions of its features
OF_A_VIEW = ("table", "key", "event_time", "known_at", "deleted", "entity", "freshness", "closed")  # all that changes every value of it

Floats = NDArray[np.float32]


class SignatureMismatch(UserMistake):
    """Rows lack inputs that a bundle reads."""

    code = "NR-405"

    def __init__(self, *, bundle: str, missing: Sequence[str], available: Sequence[str], fix: str = "") -> None:
        self.bundle, self.missing, self.available = bundle, list(missing), list(available)
        super().__init__(
            what=f"bundle {short(bundle)} reads {', '.join(missing)}, which the rows do not have under that name and definition",
            where=f"there are {', '.join(available) or 'no columns'}",
            fix=fix or "score it on rows of its own features; rows of other features would give wrong answers",
        )


def definitions_of(manifest: Manifest) -> Mapping[str, Any] | None:
    """The definitions that a bundle was sealed with, as `FeatureSet.definition` gives them; None where it has none."""
    found: Mapping[str, Any] | None = manifest.lineage.get(DEFINITIONS)
    return found


def sealed_columns(manifest: Manifest) -> dict[str, str | None]:
    """The inputs of a bundle in their order: name → hash of the definition, None where it was sealed without."""
    definitions = definitions_of(manifest)
    known = {} if definitions is None else _defined(definitions)
    return {name: known.get(name) for name in manifest.features}


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
    """The inputs of a bundle that are not among another's: of another name, or defined otherwise."""
    known = sealed_columns(had.manifest)
    return [name for name, own in sealed_columns(wanted.manifest).items() if name not in known or _differ(own, known[name])]


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def places(wanted: Bundle, had: Bundle) -> NDArray[np.intp]:
    """Where each input of a bundle stands among another's, `(inputs,)`. Raises `SignatureMismatch`."""
    missing = lacking(wanted, had)
    if missing:
        raise SignatureMismatch(bundle=wanted.id, missing=missing, available=had.features)
    return np.array([had.features.index(name) for name in wanted.features], np.intp)


def in_order(wanted: Bundle, had: Bundle, features: Floats) -> Floats:
    """Rows of one bundle's inputs as another reads them, `(rows, inputs)` in its order. Raises `SignatureMismatch`."""
    return features if wanted.features == had.features and not lacking(wanted, had) else features[:, places(wanted, had)]


def as_logged(features: Floats, width: int) -> Floats:
    """Rows of a shadow's inputs, as wide as the champion's: unknown (NaN) beyond its own. So a log stays in one segment."""
    beyond = width - features.shape[1]
    return features if beyond <= 0 else np.pad(features, ((0, 0), (0, beyond)), constant_values=np.nan)
