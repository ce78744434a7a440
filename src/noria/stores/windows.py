"""The windows of endpoints: what is kept of each bundle that answered or shadowed in one, from when it closed and from when its outcomes
were due."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import canonical_json
from noria.stores.answer_counts import AnswerCounts, SpentCounts
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import windows


class ExpectedLoss(msgspec.Struct, frozen=True):
    """What a mean loss is expected to be before outcomes come, and its standard deviation."""

    mean: float
    sd: float


class TrafficCounts(msgspec.Struct, frozen=True):
    """Counts of the rows of a window, as `noria.monitoring.traffic.Traffic` explains them.

    answers: how champions' answers in words ended; spent: what all that was logged took, shadows included; None: it is no such endpoint
    """

    rows: int
    keys: int
    repeated: int
    slow: int
    fallbacks: int = 0
    failed: int | None = 0
    stale: dict[str, int] = {}
    answers: AnswerCounts | None = None
    spent: SpentCounts | None = None


class PairedCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts of a shadow's rows and of the pairs they make with the champion's, as `noria.monitoring.shadow.Paired` explains them."""

    asked: int
    scored: int
    paired: int
    gains: dict[str, float] = {}
    groups: dict[str, int] = {}


@dataclass(frozen=True)
class WindowRow:
    """One bundle's window, in the role that it had. What was not measured (yet, or by the version that recorded it) is None.

    statistics: `(columns, 10)` in the profile's order, NaN where there was no value; performance: as `Performance.to_dict` gives it
    expected: by loss; metrics: the value of each business metric, None where it can't be drawn; skew: see `noria.features.skew`
    """

    endpoint: str
    start: datetime
    bundle: str
    role: str
    rows: int
    statistics: NDArray[np.float64] | None = None
    performance: Mapping[str, Any] | None = None
    expected: Mapping[str, ExpectedLoss] | None = None
    traffic: TrafficCounts | None = None
    metrics: Mapping[str, float | None] | None = None
    paired: PairedCounts | None = None
    skew: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class MaturedWindow:
    """What is known of a bundle's window once its outcomes are due. paired, metrics: None where they don't wait for outcomes"""

    start: datetime
    bundle: str
    performance: Mapping[str, Any]
    paired: PairedCounts | None = None
    metrics: Mapping[str, float | None] | None = None


def windows_at(catalog: Catalog, endpoint: str, start: datetime, role: str) -> list[WindowRow]:
    """What bundles were in one role in one window, the one with most rows first."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.role == role, windows.c.start == since_epoch(start))
    return [_window(row) for row in catalog.rows(sa.select(windows).where(mine).order_by(windows.c.rows.desc()))]


def windows_of_bundle(
    catalog: Catalog, endpoint: str, bundle: str, since: datetime, until: datetime | None = None, *, statistics: bool = True
) -> list[WindowRow]:
    """The windows of one bundle that begin in [since, until), in the order of time. statistics: whether to read them, which costs most"""
    before = sa.true() if until is None else windows.c.start < since_epoch(until)
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.bundle == bundle, windows.c.start >= since_epoch(since), before)
    return [_window(row, statistics=statistics) for row in catalog.rows(sa.select(windows).where(mine).order_by(windows.c.start))]


def newest_windows(catalog: Catalog, endpoint: str, role: str, at_most: int) -> list[WindowRow]:
    """The newest windows of a role, newest first, without their statistics."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.role == role)
    query = sa.select(windows).where(mine).order_by(windows.c.start.desc()).limit(at_most)
    return [_window(row, statistics=False) for row in catalog.rows(query)]


def windows_due(catalog: Catalog, endpoint: str, until: datetime) -> list[datetime]:
    """The starts, up to a moment, of windows with rows that have no performance yet, in the order of time."""
    due = sa.and_(
        windows.c.endpoint == endpoint, windows.c.performance.is_(None), windows.c.rows > 0, windows.c.start <= since_epoch(until)
    )
    return [from_epoch(row.start) for row in catalog.rows(sa.select(windows.c.start).where(due).distinct().order_by(windows.c.start))]


def window_span(catalog: Catalog, endpoint: str) -> tuple[datetime, datetime] | None:
    """The starts of an endpoint's first and last window; None where it has none."""
    ((first, last),) = catalog.rows(
        sa.select(sa.func.min(windows.c.start), sa.func.max(windows.c.start)).where(windows.c.endpoint == endpoint)
    )
    return None if first is None else (from_epoch(first), from_epoch(last))


def rows_by_window(
    catalog: Catalog, endpoint: str, role: str | Collection[str], after: datetime | None = None
) -> list[tuple[datetime, int]]:
    """How many rows a role had, or several together, in each window (start, rows) that began after a moment, in the order of time."""
    rows = catalog.rows(
        sa.select(windows.c.start, sa.func.sum(windows.c.rows).label("rows"))
        .where(
            windows.c.endpoint == endpoint,
            windows.c.role.in_([role] if isinstance(role, str) else role),
            windows.c.start > (since_epoch(after) if after else -1),
        )
        .group_by(windows.c.start)
        .order_by(windows.c.start)
    )
    return [(from_epoch(row.start), int(row.rows)) for row in rows]


def metrics_by_window(catalog: Catalog, endpoint: str, role: str) -> list[tuple[datetime, Mapping[str, float | None], bool]]:
    """The business metrics of each window with rows (start, metrics, whether its outcomes were due), in the order of time."""
    rows = catalog.rows(
        sa.select(windows.c.start, windows.c.metrics, windows.c.performance.is_not(None).label("due"))
        .where(windows.c.endpoint == endpoint, windows.c.role == role, windows.c.metrics.is_not(None), windows.c.rows > 0)
        .order_by(windows.c.start)
    )
    return [(from_epoch(row.start), json.loads(row.metrics), bool(row.due)) for row in rows]


def pairs_by_window(catalog: Catalog, endpoint: str, bundle: str, role: str, since: datetime) -> list[tuple[datetime, PairedCounts]]:
    """What was paired of a bundle in each window that began since a moment, in the order of time."""
    rows = catalog.rows(
        sa.select(windows.c.start, windows.c.paired)
        .where(windows.c.endpoint == endpoint, windows.c.bundle == bundle, windows.c.role == role)
        .where(windows.c.start >= since_epoch(since), windows.c.paired.is_not(None))
        .order_by(windows.c.start)
    )
    return [(from_epoch(row.start), msgspec.json.decode(row.paired, type=PairedCounts)) for row in rows]


def newest_traffic(catalog: Catalog, endpoint: str, at_most: int) -> list[tuple[datetime, TrafficCounts]]:
    """The traffic of the newest windows of which it is known, in the order of time."""
    rows = catalog.rows(
        sa.select(windows.c.start, windows.c.rows, windows.c.traffic)
        .where(windows.c.endpoint == endpoint, windows.c.traffic.is_not(None))
        .order_by(windows.c.start.desc())
        .limit(at_most)
    )
    return [(from_epoch(row.start), _traffic(row)) for row in reversed(rows)]


def answers_by_window(catalog: Catalog, endpoint: str, since: datetime) -> list[tuple[datetime, str, TrafficCounts]]:
    """The traffic of windows that began since a moment, where answers in words were counted (start, bundle, counts), in order of time."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.start >= since_epoch(since), windows.c.traffic.is_not(None))
    columns = sa.select(windows.c.start, windows.c.bundle, windows.c.rows, windows.c.traffic)
    rows = catalog.rows(columns.where(mine).order_by(windows.c.start))
    found = [(from_epoch(row.start), str(row.bundle), _traffic(row)) for row in rows]
    return [each for each in found if each[2].answers is not None]


def skew_at(catalog: Catalog, endpoint: str, start: datetime) -> Mapping[str, Any] | None:
    """The skew of a window as it was measured when that closed; None where it was not."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.start == since_epoch(start), windows.c.skew.is_not(None))
    rows = catalog.rows(sa.select(windows.c.skew).where(mine))
    return dict(json.loads(rows[0].skew)) if rows else None


def bundles_at(catalog: Catalog, endpoint: str, start: datetime, role: str) -> set[str]:
    """The bundles that were in a role in a window."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.start == since_epoch(start), windows.c.role == role)
    return {row.bundle for row in catalog.rows(sa.select(windows.c.bundle).where(mine))}


def newest_bundles(catalog: Catalog, endpoint: str, role: str) -> set[str]:
    """The bundles that were in a role in the newest window in which that had rows."""
    mine = sa.and_(windows.c.endpoint == endpoint, windows.c.role == role, windows.c.rows > 0)
    newest = sa.select(sa.func.max(windows.c.start)).where(mine).scalar_subquery()
    return {row.bundle for row in catalog.rows(sa.select(windows.c.bundle).where(mine, windows.c.start == newest))}


def add_windows(c: Connection, rows: Collection[WindowRow]) -> None:
    if rows:
        c.execute(sa.insert(windows), [_values(row) for row in rows])


def complete_window(c: Connection, endpoint: str, matured: MaturedWindow) -> None:
    """The outcomes of a recorded window have come: its business metrics and pairs stay as they are where there are no new ones."""
    same = sa.and_(windows.c.endpoint == endpoint, windows.c.start == since_epoch(matured.start), windows.c.bundle == matured.bundle)
    found = {"performance": matured.performance, "paired": msgspec.to_builtins(matured.paired), "metrics": matured.metrics}
    c.execute(sa.update(windows).where(same).values(**{name: text for name, text in _texts(found).items() if text is not None}))


def _values(row: WindowRow) -> dict[str, Any]:
    named = {"endpoint": row.endpoint, "start": since_epoch(row.start), "bundle": row.bundle, "role": row.role, "rows": row.rows}
    measured = {
        "statistics": None if row.statistics is None else [[None if np.isnan(v) else v for v in line] for line in row.statistics.tolist()],
        "performance": row.performance,
        "expected": msgspec.to_builtins(row.expected),
        "traffic": msgspec.to_builtins(row.traffic),
        "metrics": row.metrics,
        "paired": msgspec.to_builtins(row.paired),
        "skew": row.skew,
    }
    return {**named, **_texts(measured)}


def _texts(measured: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else canonical_json(value) for name, value in measured.items()}


def _window(row: Any, *, statistics: bool = True) -> WindowRow:
    return WindowRow(
        endpoint=row.endpoint,
        start=from_epoch(row.start),
        bundle=row.bundle,
        role=row.role,
        rows=row.rows,
        statistics=None if row.statistics is None or not statistics else _floats(row.statistics),
        performance=_parsed(row.performance, dict[str, Any]),
        expected=_parsed(row.expected, dict[str, ExpectedLoss]),
        traffic=None if row.traffic is None else _traffic(row),
        metrics=_parsed(row.metrics, dict[str, float | None]),
        paired=_parsed(row.paired, PairedCounts),
        skew=_parsed(row.skew, dict[str, Any]),
    )


def _floats(text: str) -> NDArray[np.float64]:
    return np.array(json.loads(text), dtype=np.float64)


def _traffic(row: Any) -> TrafficCounts:
    return msgspec.convert({"rows": row.rows, **json.loads(row.traffic)}, TrafficCounts)


def _parsed(text: str | None, as_what: Any) -> Any:
    return None if text is None else msgspec.json.decode(text, type=as_what)
