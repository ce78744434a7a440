"""The feature catalogue: every view with its owner, its freshness, its statistics, and who reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from noria.core.errors import NoriaError
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures, through
from noria.features.view import FeatureView
from noria.loop.project import Project
from noria.models.bundle import PROFILE_FILE, open_bundle
from noria.models.profiled import projections_of
from noria.profiles.profile import Profile
from noria.release.endpoint import Endpoint
from noria.release.releases import latest_release
from noria.stores.workspace import Workspace
from noria.training.overtaken import training_sets


def feature_catalog(project: Project, workspace: Workspace) -> dict[str, Any]:
    """Every view as plain data: what it is, what its values look like to the champions that read it, whether it is used; and
    every training set, with whether rows that came late would change it."""
    profiles = {endpoint.name: _profile(workspace, endpoint) for endpoint in project.endpoints}
    with closing(workspace.online()) as store:
        online = OnlineFeatures(store, project.views)
        materializer = Materializer(store, workspace.tables)
        views = [_view(view, project.endpoints, profiles, _online(view, online, materializer)) for view in project.views]
    return {"views": views, "training_sets": [made.to_dict() for made in training_sets(project.endpoints, workspace)]}


def _view(
    view: FeatureView, endpoints: Sequence[Endpoint], profiles: Mapping[str, _Profiled | None], online: dict[str, Any]
) -> dict[str, Any]:
    readers = [e.name for e in endpoints if view.name in {v.name for v in e.model.features.views}]
    profile = next((p for name in readers if (p := profiles[name]) is not None), None)
    definition = view.definition()
    return {
        "view": view.name,
        "description": view.description,
        "owner": view.owner,
        "table": view.table.name,
        "entity": list(view.entities),
        "freshness": view.freshness,
        "ttl": view.ttl,
        "reach": view.lookback_in_words,
        "read_by": readers,
        "used": bool(readers),
        "online": online,
        "features": [
            {
                "feature": name,
                "definition": definition["aggregate"].get(name, f"latest {view.latest_expressions.get(name, '')}"),
                **_statistics(profile, name),
            }
            for name in view.features
        ],
    }


@dataclass(frozen=True)
class _Profiled:
    """A champion's profile; coded: its columns of categories, whose numbers are codes."""

    profile: Profile
    coded: Collection[str]


def _statistics(known: _Profiled | None, feature: str) -> dict[str, Any]:
    """What the feature looked like in the champion's training set; of texts, only how many there were."""
    column = None if known is None else next((c for c in known.profile.columns if c.name == feature), None)
    if known is None or column is None:
        return {"rows": None, "null_share": None, "least": None, "median": None, "greatest": None}
    seen = column.summary
    counts = {"rows": seen.rows, "null_share": seen.nulls / seen.rows if seen.rows else None}
    if feature in known.coded:
        return {**counts, "least": None, "median": None, "greatest": None}
    median = float(seen.edges[len(seen.edges) // 2]) if len(seen.edges) else None
    return {**counts, "least": seen.least, "median": median, "greatest": seen.greatest}


def _online(view: FeatureView, online: OnlineFeatures, materializer: Materializer) -> dict[str, Any]:
    """How far the view is materialised, and how many entities are stale because rows came late since."""
    state = online.state(view)
    if state is None:
        return {"through": None, "stale": None}
    try:
        stale = materializer.stale(view)
    except NoriaError as error:
        return {"through": through(state).isoformat(), "stale": None, "why": error.what}
    return {"through": through(state).isoformat(), "stale": 0 if stale is None else stale.num_rows}


def _profile(workspace: Workspace, endpoint: Endpoint) -> _Profiled | None:
    if not (workspace.own / "catalog.db").exists():
        return None
    with closing(workspace.catalog()) as catalog:
        release = latest_release(catalog, endpoint.name)
    if release is None:
        return None
    bundle = open_bundle(workspace.bundles / release.champion, workspace.files)
    projections = projections_of(bundle, workspace.files)
    profile = Profile.from_json(workspace.files.read(bundle.file(PROFILE_FILE)))
    return _Profiled(profile, () if projections is None else projections.labels)
