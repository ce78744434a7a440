"""A project: a folder with `noria.toml` and a Python module that declares everything."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from noria.core.clock import duration, in_words, zone_named
from noria.core.errors import UserMistake, nearest
from noria.core.settings import Settings, load_settings
from noria.data.table import Table
from noria.features.view import FeatureView
from noria.loop.retrain import Retrain
from noria.monitoring.calendar import Calendar
from noria.monitoring.drift_reading import LEAST_REFERENCE
from noria.monitoring.monitor import Monitor
from noria.release.endpoint import Endpoint

Noun = TypeVar("Noun")


class ProjectFailed(UserMistake):
    """The project's module raised while it was imported."""

    code = "NR-110"

    def __init__(self, path: Path, error: BaseException) -> None:
        self.path = path
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
        if isinstance(error, SyntaxError):
            line = f", line {error.lineno}"
        super().__init__(
            what=f"the project's module raised {type(error).__name__}: {error}",
            where=f"{path}{line}",
            mend="correct the module; `noria check` tries it without doing anything",
        )


class UnknownName(UserMistake):
    """A command names something that the project does not declare."""

    code = "NR-111"
    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(
            what=f"there is no {kind} {name!r}{nearest(name, self.known)}",
            where=f"this project has {', '.join(self.known) or f'no {kind} at all'}",
            mend="correct the name, or declare it in the project's module",
        )


@dataclass(frozen=True)
class Project:
    """Everything a project declares."""

    folder: Path
    settings: Settings
    tables: tuple[Table, ...]
    views: tuple[FeatureView, ...]
    endpoints: tuple[Endpoint, ...]
    monitors: tuple[Monitor, ...]
    retrains: tuple[Retrain, ...]

    def endpoint(self, name: str | None = None) -> Endpoint:
        """The endpoint of that name; without one, the project's only endpoint."""
        if name is None and len(self.endpoints) == 1:
            return self.endpoints[0]
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        raise UnknownName("endpoint", name or "(none given)", (e.name for e in self.endpoints))

    def table(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        raise UnknownName("table", name, (t.name for t in self.tables))

    def view(self, name: str) -> FeatureView:
        for view in self.views:
            if view.name == name:
                return view
        raise UnknownName("feature view", name, (v.name for v in self.views))

    def monitor(self, endpoint: Endpoint) -> Monitor | None:
        return next((m for m in self.monitors if m.endpoint.name == endpoint.name), None)

    def retrain(self, endpoint: Endpoint) -> Retrain | None:
        return next((r for r in self.retrains if r.model.name == endpoint.model.name), None)


def load_project(folder: Path) -> Project:
    """Read `noria.toml` and import the module it names. Raises `BadSettings`, `BadTimeZone` or `ProjectFailed`."""
    folder = folder.resolve()
    settings = load_settings(folder)
    zone_named(settings.loop.time_zone)  # which must be one
    nouns = list(vars(_import(folder, settings.project.module)).values())
    endpoints = _of(Endpoint, nouns)
    named = {t.name: t for t in _of(Table, nouns)}
    for endpoint in endpoints:
        model = endpoint.model
        named |= {t.name: t for t in (*model.features.tables, model.label.table)}
    views = {v.name: v for v in (*_of(FeatureView, nouns), *(v for e in endpoints for v in e.model.features.views))}
    named |= {v.table.name: v.table for v in views.values()}
    monitors = _of(Monitor, nouns)
    for monitor in monitors:
        _check_slices(monitor, next((e for e in endpoints if e.name == monitor.endpoint.name), None))
        _check_stretches(monitor, duration(settings.loop.tick))
    return Project(folder, settings, tuple(named.values()), tuple(views.values()), endpoints, monitors, _of(Retrain, nouns))


def _check_slices(monitor: Monitor, endpoint: Endpoint | None) -> None:
    features = endpoint.model.features.features if endpoint is not None else ()
    for name in monitor.slices:
        if name not in features:
            raise UserMistake(
                what=f"{name!r} is no feature of {monitor.endpoint.name}{nearest(name, features)}",
                where="nr.Monitor(slices=…)",
                mend="name features of few values: what is logged with a prediction is what its slices can be cut by",
            )


def _check_stretches(monitor: Monitor, tick: timedelta) -> None:
    """What inputs are compared with has windows enough to learn their spread from."""
    least = Calendar(tick).least(LEAST_REFERENCE)
    given = {
        "rolling": None if monitor.rolling is None else duration(monitor.rolling),
        "reference": None if monitor.period is None else monitor.period.end - monitor.period.start,
    }
    for name, stretch in given.items():
        if stretch is not None and stretch // tick < least:
            raise UserMistake(
                what=f"a {name} baseline of {in_words(stretch)} is too short",
                where=f"nr.Monitor({name}=…) of {monitor.endpoint.name}, where a window is {in_words(tick)} long",
                mend=f"give at least {least} windows: {in_words(least * tick)}",
            )


def _import(folder: Path, module: str) -> Any:
    path = folder / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        raise UserMistake(
            what=f"the project's module {module!r} is not there",
            where=f"looked for {path}",
            mend="correct `module` in noria.toml",
        )
    name = f"noria_project_{module}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(loaded)
    except UserMistake:
        raise
    except Exception as error:
        raise ProjectFailed(path, error) from error
    finally:
        sys.path.remove(str(folder))
    return loaded


def _of(kind: type[Noun], values: list[Any]) -> tuple[Noun, ...]:
    found: list[Noun] = []
    for value in values:
        if isinstance(value, kind) and not any(value is other for other in found):
            found.append(value)
    return tuple(found)
