"""Sealed definitions: the feature set that a bundle was trained with, opened again from the plain data that the bundle carries.

Views are data and come back whole, whatever the project declares today. Request transforms are the project's own functions, and code is
never taken out of a bundle: so one is only used where the project still has it, with the same code. What comes back is compared with what
was sealed: it is the same definition, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import UserMistake
from noria.core.fingerprint import fingerprint
from noria.core.ids import canonical_json
from noria.data.sources.port import Batch, Watermark
from noria.data.table import Table
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.view import Aggregate, FeatureView, span

DESCRIBED = re.compile(r"(?P<kind>\w+)\((?P<what>.*)\) over (?P<window>\S+)", re.DOTALL)  # as `Aggregate.describe` writes it


class LostDefinition(UserMistake):
    """Features can't be computed as they were when a bundle was sealed."""

    code = "NR-242"

    def __init__(self, feature_set: str, reason: str, fix: str) -> None:
        self.feature_set, self.reason = feature_set, reason
        super().__init__(
            what=f"the features of {feature_set!r} can't be computed as they were when the bundle was sealed", where=reason, fix=fix
        )


@dataclass(frozen=True)
class SealedSource:
    """The source of a table that only a sealed definition still names: what was ingested of it is there, and nothing is added."""

    table: str
    types: Mapping[str, str]

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:  # noqa: ARG002
        return None

    def describe(self) -> str:
        return f"what was ingested of {self.table}"


def opened(
    definition: Mapping[str, Any],
    features: Sequence[str],
    *,
    spine: Table,
    lead: str,
    tables: Sequence[Table] = (),
    transforms: Sequence[RequestTransform] = (),
    rewritten: bool = False,
) -> FeatureSet:
    """The feature set of a sealed definition, for the facts of `spine`, `lead` before them; its features in the order `features`.

    definition: what `FeatureSet.definition` gave, as JSON has it; tables, transforms: those that the project declares; rewritten: whether
    a transform of the same name and features counts whose code is another today, as for skew, which is to show just that.
    Raises `LostDefinition`.
    """
    name, order = definition["name"], {feature: place for place, feature in enumerate(features)}
    known = {table.name: table for table in (*tables, spine)}
    views = [_view(name, view, known, order) for view in definition["views"]]
    views.sort(key=lambda view: order[view.features[0]])
    wanted = sorted(definition["request"].items(), key=lambda item: order.get(item[1]["features"][0], -1))
    request = [_transform(name, called, sealed, transforms, rewritten=rewritten) for called, sealed in wanted]
    found = FeatureSet(name, spine, views, request, lead)
    if found.features != tuple(features):
        raise _lost(name, f"its definitions give {', '.join(found.features)}, and the model reads {', '.join(features)}")
    return found


def _view(feature_set: str, sealed: Mapping[str, Any], tables: Mapping[str, Table], order: Mapping[str, int]) -> FeatureView:
    def in_order(values: Mapping[str, Any]) -> dict[str, Any]:
        return dict(sorted(values.items(), key=lambda item: order.get(item[0], -1)))

    latest = sealed["latest"]
    view = FeatureView(
        sealed["name"],
        _table(sealed, tables.get(sealed["table"])),
        tuple(sealed["entity"]),
        aggregate={name: _aggregate(feature_set, text) for name, text in in_order(sealed["aggregate"]).items()},
        latest=in_order(latest) if isinstance(latest, Mapping) else latest,
        freshness=sealed["freshness"],
        ttl=sealed["ttl"],
        closed=sealed.get("closed", "right"),
        typed=sealed.get("typed", False),
    )
    if canonical_json(view.definition()) != canonical_json(sealed):
        raise _lost(feature_set, f"the definition of feature view {view.name!r} can't be read back")
    return view


def _table(sealed: Mapping[str, Any], declared: Table | None) -> Table:
    """The project's table where it says what the sealed one says, or else the sealed one, of which the rows are still stored."""
    names = {"key": tuple(sealed["key"]), "event_time": sealed["event_time"], "known": sealed["known_at"], "deleted": sealed["deleted"]}
    if declared is not None and names == {
        "key": declared.keys,
        "event_time": declared.event_time,
        "known": declared.known,
        "deleted": declared.deleted,
    }:
        return declared
    return Table(
        sealed["table"],
        SealedSource(sealed["table"], {}),
        key=names["key"],
        event_time=sealed["event_time"],
        known_at=sealed["known_at"],
        deleted=sealed["deleted"],
    )


def _aggregate(feature_set: str, text: str) -> Aggregate:
    found = DESCRIBED.fullmatch(text)
    if found is None:
        raise _lost(feature_set, f"the aggregate {text!r} can't be read back")
    kind, what, share = found["kind"], found["what"], None
    if kind == "quantile":
        what, _, after = what.rpartition(", ")
        share = float(after)
    return Aggregate(kind, what, span(found["window"]), share)


def _transform(
    feature_set: str, name: str, sealed: Mapping[str, Any], transforms: Sequence[RequestTransform], *, rewritten: bool
) -> RequestTransform:
    """The project's transform of that name, which must have the sealed code unless `rewritten`: no code is taken out of a bundle."""
    named = [t for t in transforms if t.name == name]
    alike = [t for t in named if list(t.features) == list(sealed["features"]) and t.written == sealed.get("types", {})]
    for transform in alike:
        if fingerprint(transform.compute) == sealed["code"]:
            return transform
    if rewritten and alike:
        return alike[0]
    changed = "has changed since" if named else "is no longer declared"
    raise _lost(feature_set, f"request transform {name!r} {changed}")


def _lost(feature_set: str, reason: str) -> LostDefinition:
    return LostDefinition(
        feature_set,
        reason,
        "keep the old function in the project while a model uses it, and give the new one another name",
    )
