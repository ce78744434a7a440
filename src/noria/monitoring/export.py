"""An endpoint's reference and its windows as files that other tools read: Evidently, whylogs, NannyML, a notebook.

Their profiles and reports are made in environments of their own, since what they need does not always go with what Noria needs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.data.rows import Rows
from noria.evaluation.task import Task
from noria.features.compile import KEY
from noria.features.training_set import build_training_set
from noria.models.registry import CHAMPION
from noria.monitoring.recorded import answered_rows, windows_of
from noria.release.open_endpoint import OpenEndpoint
from noria.release.releases import Release, current_release
from noria.training.sealing import in_reference

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE, COLUMNS, WINDOWS = "reference.parquet", "columns.json", "windows"


class NothingToExport(UserMistake):
    """An endpoint has no champion, or no window with rows in the period that was asked for."""

    code = "NR-607"


@dataclass(frozen=True)
class Exported:
    """What was written. windows: rows by the start of each; gone: windows whose log is there no more; reference: its rows"""

    folder: Path
    reference: int
    windows: dict[str, int]
    gone: int

    def to_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "reference": self.reference, "windows": self.windows, "gone": self.gone}


def export(context: OpenEndpoint, folder: Path, since: datetime | None, until: datetime | None, now: datetime) -> Exported:
    """Write the rows that the champion was trained on, and those it answered in each window that begins in [since, until).

    Every file has the same columns: `key`, `at`, the features, the answers and the outcomes (`prediction` and `outcome`, or one of each for
    every number that a task has), null where they are not known at `now`.
    Raises `NothingToExport`.
    """
    release, name = current_release(context), context.endpoint.name
    if release is None:
        raise NothingToExport(
            what=f"{name} has no champion yet", where=str(context.stores.workspace.folder), fix="train one: `noria train`"
        )
    starts = [
        w.start
        for w in windows_of(context, release.champion, since or release.champion_since, statistics=False)
        if w.role == CHAMPION and w.rows and (until is None or w.start < until)
    ]
    if not starts:
        raise NothingToExport(
            what=f"the champion of {name} has no window with rows in that period",
            where=f"it has been the champion since {release.champion_since:%Y-%m-%d %H:%M} UTC",
            fix="choose another period, or wait until a window has closed (`noria loop`)",
        )
    files = context.stores.workspace.files
    files.make_folder(folder / WINDOWS)
    reference = _reference(context, release)
    files.write(folder / REFERENCE, _parquet(reference))
    written = {}
    for start in starts:
        rows = _window(context, release, start, now)
        if rows is not None:
            files.write(folder / WINDOWS / f"{start:%Y-%m-%dT%H%M}.parquet", _parquet(rows))
            written[start.isoformat()] = rows.num_rows
    files.write(folder / COLUMNS, json.dumps(_columns(context, release), indent=2).encode())
    return Exported(folder, reference.num_rows, written, len(starts) - len(written))


def _reference(context: OpenEndpoint, release: Release) -> pa.Table:
    """The reference of the training set once more, as it was then, with what the champion says of it."""
    lineage, model = context.stores.bundle(release.champion).manifest.lineage, context.endpoint.model
    made = build_training_set(
        context.facts.offline, model.label, context.facts.outcomes, model.task, start=lineage.start, as_of=lineage.as_of
    )
    known = in_reference(lineage.reference, made.at)
    values = context.own.inputs(release.champion, made.rows).where(known)
    keys = np.array(made.rows.column(KEY).to_pylist(), object)[known].tolist()
    return _table(model.task, keys, made.at[known], values, context.stores.model(release.champion).answer(values), made.labels[known])


def _window(context: OpenEndpoint, release: Release, start: datetime, now: datetime) -> pa.Table | None:
    rows = answered_rows(context, release.champion, start)
    if rows is None:
        return None
    outcomes = context.facts.outcomes.known_at(rows.keys, now)
    at = rows.received_us.astype("datetime64[us]")
    signature = context.stores.bundle(release.champion).signature
    return _table(context.endpoint.task, rows.keys, at, rows.inputs(signature), rows.outputs(signature), outcomes)


def _table(
    task: Task,
    keys: list[str | None],
    at: NDArray[np.datetime64],
    features: Rows,
    answers: Rows,
    outcome: NDArray[np.float64],
) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {"key": pa.array(keys, pa.string()), "at": pa.array(at).cast(pa.timestamp("us", tz="UTC"))}
    columns |= features.columns()
    return pa.table({**columns, **task.answer_columns(answers), **task.outcome_columns(outcome)})


def _columns(context: OpenEndpoint, release: Release) -> dict[str, Any]:
    """What each column is, for whoever has to tell another tool."""
    profile, task = context.stores.profile(release.champion), context.endpoint.task
    features = context.stores.bundle(release.champion).features
    few = [c.name for c in profile.columns if c.values is not None and c.name in features]  # a text that is a category keeps its name
    return {
        "endpoint": context.endpoint.name,
        "bundle": release.champion,
        "key": "key",
        "time": "at",
        "features": list(features),
        "categories": few,
        "prediction": _one_or_all(task.answer_columns(Rows.unknown(task.outputs, 0))),
        "outcome": _one_or_all(task.outcome_columns(np.empty(0 if task.coding.width == 1 else (0, task.coding.width)))),
        "task": task.title,
    }


def _one_or_all(names: Iterable[str]) -> str | list[str]:
    found = list(names)
    return found[0] if len(found) == 1 else found


def _parquet(rows: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(rows, out)
    return out.getvalue()
