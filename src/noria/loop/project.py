"""A project: a folder with `noria.toml` and a Python module that declares everything."""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from noria.core.calendar import Calendar
from noria.core.clock import BadDuration, duration, in_words, zone_named
from noria.core.declarations import PROJECT_MODULE, collecting
from noria.core.errors import UserMistake, nearest
from noria.core.settings import FILE_NAME, BadSettings, Settings, load_settings
from noria.data.table import Table
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.view import FeatureView
from noria.loop.module_errors import ImportsItself, ProjectFailed, line_of
from noria.loop.retrain import Retrain
from noria.models.model import Model
from noria.monitoring.drift_reading import MIN_REFERENCE
from noria.monitoring.monitor import Monitor
from noria.release.endpoint import Endpoint

Noun = TypeVar("Noun")

_helpers: set[str] = set()  # the modules of projects' folders that are loaded, but for those that `noria.toml` names


class UnknownName(UserMistake):
    """A command names something that the project does not declare."""

    code = "NR-111"
    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(
            what=f"there is no {kind} {name!r}{nearest(name, self.known)}",
            where=f"this project has {', '.join(self.known) or f'no {kind} at all'}",
            fix="correct the name, or declare it in the project's module",
        )


class DeclaredTwice(UserMistake):
    """Two declarations of one kind have one name, and differ."""

    code = "NR-113"

    def __init__(self, kind: str, name: str, first: Any, second: Any) -> None:
        self.kind, self.name = kind, name
        differing = [f.name for f in fields(first) if f.compare and getattr(first, f.name) != getattr(second, f.name)]
        super().__init__(
            what=f"the {kind} {name!r} is declared twice, with a different {' and '.join(differing)} the second time",
            where="the project's module; a declaration counts even if no variable holds it",
            fix="keep one of them, or rename one",
        )


class NoModule(UserMistake):
    """The module that `noria.toml` names is not there."""

    code = "NR-554"

    def __init__(self, module: str, path: Path) -> None:
        folder = path.parent if path.parent.is_dir() else path.parent.parent
        there = sorted(file.stem for file in folder.glob("*.py"))
        meant = module.removesuffix(".py")
        name = meant if meant in there else next(iter(difflib.get_close_matches(meant, there, n=1)), "")
        super().__init__(
            what=f"the project's module {module!r} was not found",
            where=f"looked for {path}; in {folder} there is {', '.join(f'{one}.py' for one in there) or 'no Python file'}",
            fix=f'write module = "{name or "NAME"}" in noria.toml: the name of the file without .py',
        )


class NoEndpoint(UserMistake):
    """A command needs an endpoint, and the project declares none."""

    code = "NR-114"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            what="this project declares no endpoint",
            where=str(folder),
            fix='declare one: nr.Endpoint("name", model); `noria check` lists what is declared',
        )


class WhichEndpoint(UserMistake):
    """A command is about one endpoint, and the project declares several."""

    code = "NR-115"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = list(known)
        super().__init__(
            what=f"this project has {len(known)} endpoints, and none is named",
            where=", ".join(known),
            fix=f"name one of them after the command, such as {known[0]}",
        )


@dataclass(frozen=True)
class Project:
    """Everything a project declares."""

    folder: Path
    settings: Settings
    tables: tuple[Table, ...] = ()
    views: tuple[FeatureView, ...] = ()
    feature_sets: tuple[FeatureSet, ...] = ()
    models: tuple[Model, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    retrains: tuple[Retrain, ...] = ()
    transforms: tuple[RequestTransform, ...] = ()

    def endpoint(self, name: str | None = None) -> Endpoint:
        """The endpoint of that name; without one, the only endpoint. Raises `UnknownName`, `NoEndpoint` or `WhichEndpoint`."""
        if not self.endpoints:
            raise NoEndpoint(self.folder)
        if name is None and len(self.endpoints) > 1:
            raise WhichEndpoint([e.name for e in self.endpoints])
        for endpoint in self.endpoints:
            if name in (None, endpoint.name):
                return endpoint
        raise UnknownName("endpoint", str(name), (e.name for e in self.endpoints))

    def chosen(self, name: str | None = None) -> tuple[Endpoint, ...]:
        """The endpoint of that name; without one, all of them, of which there is at least one."""
        if name is None and self.endpoints:
            return self.endpoints
        return (self.endpoint(name),)

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
    """Read `noria.toml` and import the module it names. Raises `BadSettings`, `BadTimeZone`, `ProjectFailed` or `DeclaredTwice`."""
    folder = folder.resolve()
    settings = load_settings(folder)
    _check_spans(settings, folder)
    zone_named(settings.loop.time_zone)  # which must be one
    with collecting() as declared:
        module = _import(folder, settings.project.module)
    found = _declared(folder, settings, [*declared, *vars(module).values()])
    for monitor in found.monitors:
        endpoint = next((e for e in found.endpoints if e.name == monitor.endpoint.name), None)
        _check_slices(monitor, endpoint)
        _check_metrics(monitor, endpoint)
        _check_stretches(monitor, duration(settings.loop.tick))
    return found


def _declared(folder: Path, settings: Settings, nouns: Sequence[Any]) -> Project:
    """All that was declared, and what it is made of, of each kind. Raises `DeclaredTwice`."""
    monitors = _of(Monitor, "monitor of", nouns, lambda m: m.endpoint.name)
    retrains = _of(Retrain, "retraining of", nouns, lambda r: r.model.name)
    endpoints = _of(Endpoint, "endpoint", [*nouns, *(m.endpoint for m in monitors)])
    models = _of(Model, "model", [*nouns, *(e.model for e in endpoints), *(r.model for r in retrains)])
    feature_sets = _of(FeatureSet, "feature set", [*nouns, *(m.features for m in models)])
    views = _of(FeatureView, "feature view", [*nouns, *(v for s in feature_sets for v in s.views)])
    used = [*(t for s in feature_sets for t in s.tables), *(m.label.table for m in models), *(v.table for v in views)]
    tables = _of(Table, "table", [*nouns, *used])
    every = [*nouns, *(t for s in feature_sets for t in s.request)]
    transforms = tuple(dict.fromkeys(t for t in every if isinstance(t, RequestTransform)))  # two may have one name, and other features
    return Project(folder, settings, tables, views, feature_sets, models, endpoints, monitors, retrains, transforms)


def _check_spans(settings: Settings, folder: Path) -> None:
    """Raise `BadSettings` for a stretch of time that can't be read, or of none."""
    given = {f"loop.{name}": getattr(settings.loop, name) for name in ("tick", "offset", "longest", "training_limit", "retry")}
    given |= {} if settings.serving.log_keep is None else {"serving.log_keep": settings.serving.log_keep}
    for name, text in given.items():
        try:
            fine = duration(text) > timedelta() or name == "loop.offset"
        except BadDuration:
            fine = False
        if not fine:
            section, key = name.split(".")
            example = text.strip() + "d" if text.strip().isdecimal() and int(text) else "1d"
            raise BadSettings(
                what=f"{name} is {text!r}, which is no stretch of time",
                where=str(folder / FILE_NAME),
                fix=f'write {key} = "{example}" below [{section}]: a number and its unit (s, m, h, d or w)',
            )


def _check_slices(monitor: Monitor, endpoint: Endpoint | None) -> None:
    features = endpoint.model.features.features if endpoint is not None else ()
    for name in monitor.slices:
        if name not in features:
            raise UserMistake(
                what=f"{monitor.endpoint.name} has no feature {name!r}{nearest(name, features)}",
                where="nr.Monitor(slices=…)",
                fix="name low-cardinality features: slices are cut by the features that are logged with a prediction",
            )


def _check_metrics(monitor: Monitor, endpoint: Endpoint | None) -> None:
    """Raise `UnknownMetric` for a tolerance of a metric that the model's task does not have."""
    if endpoint is not None:
        for tolerance in monitor.performance:
            endpoint.task.metric(tolerance.metric)


def _check_stretches(monitor: Monitor, tick: timedelta) -> None:
    """What inputs are compared with has windows enough to learn their spread from."""
    least = Calendar(tick).least(MIN_REFERENCE)
    given = {
        "rolling": None if monitor.rolling is None else duration(monitor.rolling),
        "reference": None if monitor.period is None else monitor.period.end - monitor.period.start,
    }
    for name, stretch in given.items():
        if stretch is not None and stretch // tick < least:
            raise UserMistake(
                what=f"a {name} baseline of {in_words(stretch)} is too short",
                where=f"nr.Monitor({name}=…) of {monitor.endpoint.name}, where a window is {in_words(tick)} long",
                fix=f"give at least {least} windows: {in_words(least * tick)}",
            )


def _import(folder: Path, module: str) -> Any:
    path = folder / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        raise NoModule(module, path)
    name = f"{PROJECT_MODULE}{module}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    _forget_helpers()
    before = set(sys.modules)
    sys.modules[name] = loaded
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(loaded)
        _refuse_twice(path, module, before)
    except ImportsItself:
        raise
    except UserMistake as error:
        _refuse_twice(path, module, before)
        line = line_of(path, error)
        error.where += f"; {line}" if line and str(path) not in error.where else ""
        raise
    except (Exception, SystemExit) as error:
        _refuse_twice(path, module, before)
        raise ProjectFailed(path, error) from error
    finally:
        sys.path.remove(str(folder))
        _helpers.update(m for m in set(sys.modules) - before - {name} if _lies_in(sys.modules[m], folder))
    return loaded


def _refuse_twice(path: Path, module: str, before: Collection[str]) -> None:
    """Raise `ImportsItself` where the module was also imported under its own name, and so has run twice."""
    again = sys.modules.get(module)
    if module in before or getattr(again, "__file__", None) != str(path):
        return
    names = rf"^\s*(from|import)\s+{re.escape(module)}\b"
    beside = [file for file in sorted(path.parent.glob("*.py")) if file != path and re.search(names, file.read_text(), re.MULTILINE)]
    raise ImportsItself(path, beside[0].name if beside else path.name)


def _forget_helpers() -> None:
    """Have the modules beside a project's own read again: what they declare is seen only while they run, and two projects may both have a
    `tables.py`."""
    for helper in _helpers:
        sys.modules.pop(helper, None)
    _helpers.clear()


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder) and "site-packages" not in Path(file).parts


def _of(kind: type[Noun], called: str, values: Iterable[Any], name_of: Callable[[Any], str] = lambda noun: noun.name) -> tuple[Noun, ...]:
    """The values of a kind, one of each name. Raises `DeclaredTwice` where two of one name differ."""
    found: dict[str, Noun] = {}
    for value in values:
        if isinstance(value, kind):
            first = found.setdefault(name_of(value), value)
            if first is not value and first != value:
                raise DeclaredTwice(called, name_of(value), first, value)
    return tuple(found.values())
