"""What is recorded of an endpoint's windows: in the catalog, and row by row in the prediction log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.performance import Performance
from noria.models.profiled import profiled_columns
from noria.models.registry import CANDIDATE, CHAMPION
from noria.monitoring.traffic import Traffic
from noria.monitoring.windows import Window
from noria.release.open_endpoint import OpenEndpoint
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.windows import newest_traffic, rows_by_window, skew_at, windows_of_bundle

MAX_TRAFFIC = 60  # windows


def answered_rows(context: OpenEndpoint, bundle: str, start: datetime) -> Predictions | None:
    """The rows that a bundle answered as champion in a window, from the log; None where that has nothing of it."""
    logged = read_log(context.stores.log_folder, start, start + context.grid.tick, context.stores.workspace.files)
    rows = None if logged is None else logged.of(bundle).by(CHAMPION)
    return rows if rows is not None and len(rows) else None


def profiled(context: OpenEndpoint, bundle: str, rows: Predictions) -> NDArray[np.float64]:
    """Logged rows of a bundle as its profile has them: the features as numbers, then the answers, `(rows, columns)`."""
    signature, names = context.stores.bundle(bundle).signature, context.stores.profile(bundle).names
    inputs, outputs = rows.inputs(signature), rows.outputs(signature)
    return profiled_columns(context.stores.projections(bundle), names, inputs, outputs, rows.received_us)


def windows_of(
    context: OpenEndpoint, bundle: str, since: datetime, until: datetime | None = None, *, statistics: bool = True
) -> list[Window]:
    """The recorded windows of one bundle that begin in [since, until), in time order; their statistics cost most to read, and not all
    need them."""
    rows = windows_of_bundle(context.stores.catalog, context.endpoint.name, bundle, since, until, statistics=statistics)
    return [
        Window(
            row.start,
            row.bundle,
            row.role,
            row.rows,
            row.statistics,
            None if row.performance is None else Performance.of(row.performance),
            None if row.expected is None else {name: (loss.mean, loss.sd) for name, loss in row.expected.items()},
        )
        for row in rows
    ]


def baseline_windows(context: OpenEndpoint, bundle: str) -> list[Performance]:
    """The performance that a bundle was accepted with: its holdout's, window by window."""
    return [Performance.of(w) for w in context.stores.candidate_detail(bundle).baseline]


def answered_by_window(context: OpenEndpoint, after: datetime | None = None) -> list[tuple[datetime, int]]:
    """How many rows champions, and candidates in A/B tests, answered in each window (start, rows) that began after a moment, in the order
    of time."""
    return rows_by_window(context.stores.catalog, context.endpoint.name, (CHAMPION, CANDIDATE), after)


def skew_of(context: OpenEndpoint, start: datetime) -> Mapping[str, Any] | None:
    """The skew of a window as it was measured when that closed, or why it `failed`; None where it was not."""
    return skew_at(context.stores.catalog, context.endpoint.name, start)


def traffic_of(context: OpenEndpoint) -> list[Traffic]:
    """What the traffic of the last windows was like, in the order of time."""
    found = newest_traffic(context.stores.catalog, context.endpoint.name, MAX_TRAFFIC)
    return [Traffic(start, c.rows, c.keys, c.repeated, c.slow, c.fallbacks, c.failed, c.stale) for start, c in found]
