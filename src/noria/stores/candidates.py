"""Candidates: what each training gave, and what was found out about it, which later decisions read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.conservation import Balance
from noria.core.ids import canonical_json
from noria.stores.answer_counts import AnswerCounts
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import candidates


class GateResult(msgspec.Struct, frozen=True):
    """What one gate said, and why."""

    gate: str
    outcome: Literal["passed", "failed", "unknown"]
    why: str


class HoldoutMetrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """The figures on a holdout, by their metrics' names; nothing where there was none.

    holdout_positives: the mean outcome, as `Task.means` has it; calibration: see `Reliability`
    holdout_groups: of a ranking, how many groups there were, and how many of these count in its default metric
    """

    holdout_rows: int = 0
    holdout_positives: float | list[float | None] | None = None
    candidate: dict[str, float] | None = None
    champion: dict[str, float] | None = None
    calibration: dict[str, Any] | None = None
    holdout_groups: tuple[int, int] | None = None


class Comparisons(msgspec.Struct, frozen=True):
    """How good a candidate is beside others, on the holdout, by metrics that are means over rows or groups.

    bounds: of its figure, as (mean, lower, upper) at 95 %; gains: the same, of by how much it is better than the champion
    constant: the figures of an answer that is always the mean of the outcomes before the holdout
    importance: the share of its answers that hangs on each feature
    lost: why there is a champion and no comparison with it; empty where that is not so
    """

    bounds: dict[str, tuple[float, float, float]] = {}
    gains: dict[str, tuple[float, float, float]] = {}
    constant: dict[str, float] = {}
    importance: dict[str, float] = {}
    lost: str = ""


class CandidateDetail(msgspec.Struct, frozen=True):
    """What was found out about a candidate. What details of earlier versions lack is empty.

    gains: of each metric that is a mean over rows, what the candidate gained over the champion in each judged unit of the holdout
    baseline: the holdout's performance, window by window, as `Performance.to_dict` gives it
    calibration: what the task's estimator fitted to the holdout
    task: its definition, None where none was stated
    rows: the sum of the training set of this id
    answers: of a model that answers in words, how it answered the newest questions of the training set, window by window
    reports: the pages that show what its gates saw, as (title, path from the project's folder)
    """

    gates: tuple[GateResult, ...] = ()
    gains: dict[str, list[float]] = {}
    baseline: tuple[dict[str, Any], ...] = ()
    calibration: tuple[float, ...] = ()
    metrics: HoldoutMetrics = HoldoutMetrics()
    task: dict[str, Any] | None = None
    rows: Balance = Balance("", 0, {})
    training_set: str = ""
    compared: Comparisons = Comparisons()
    answers: tuple[AnswerCounts, ...] = ()
    reports: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {**msgspec.to_builtins(self), "rows": self.rows.to_dict()}

    @staticmethod
    def of(found: Mapping[str, Any]) -> CandidateDetail:
        """The detail that `to_dict` gave."""
        return msgspec.convert(found, CandidateDetail)


@dataclass(frozen=True)
class CandidateRow:
    """A candidate, and the decision to train it. at: up to when it knows the world; seconds: of training"""

    decision: str
    endpoint: str
    at: datetime
    bundle: str
    run: str
    passed: bool
    detail: CandidateDetail
    seconds: float


def candidates_of(catalog: Catalog, endpoint: str) -> list[CandidateRow]:
    """An endpoint's candidates, in the order of time."""
    return _read(catalog, sa.select(candidates).where(candidates.c.endpoint == endpoint).order_by(candidates.c.at))


def candidates_by_decision(catalog: Catalog, keys: Collection[str]) -> list[CandidateRow]:
    """What came of these decisions to train."""
    return _read(catalog, sa.select(candidates).where(candidates.c.decision.in_(keys)))


def newest_candidate(catalog: Catalog, endpoint: str) -> CandidateRow | None:
    mine = sa.select(candidates).where(candidates.c.endpoint == endpoint)
    return _first(catalog, mine.order_by(candidates.c.at.desc(), candidates.c.decision.desc()))


def candidate_of(catalog: Catalog, endpoint: str, bundle: str) -> CandidateRow | None:
    """The candidate whose bundle this is, the newest of several; None where it was none of this endpoint's."""
    mine = sa.select(candidates).where(candidates.c.endpoint == endpoint, candidates.c.bundle == bundle)
    return _first(catalog, mine.order_by(candidates.c.at.desc()))


def add_candidate(c: Connection, row: CandidateRow) -> None:
    c.execute(
        sa.insert(candidates).values(
            decision=row.decision,
            endpoint=row.endpoint,
            at=since_epoch(row.at),
            bundle=row.bundle,
            run=row.run,
            passed=row.passed,
            detail=canonical_json(row.detail.to_dict()),
            seconds=row.seconds,
        )
    )


def _first(catalog: Catalog, query: sa.Select[Any]) -> CandidateRow | None:
    found = _read(catalog, query.limit(1))
    return found[0] if found else None


def _read(catalog: Catalog, query: sa.Select[Any]) -> list[CandidateRow]:
    return [_candidate(row) for row in catalog.rows(query)]


def _candidate(row: Any) -> CandidateRow:
    detail = msgspec.json.decode(row.detail, type=CandidateDetail)
    return CandidateRow(row.decision, row.endpoint, from_epoch(row.at), row.bundle, row.run, row.passed, detail, row.seconds)
