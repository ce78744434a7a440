"""Tables with texts, embeddings, codes and times: false alarms a year where nothing is wrong, and how soon what is wrong is found.

Texts are drawn from a vocabulary with Zipf's frequencies and three topics, embeddings around one centre a topic, so that both know the
same change; the topics' shares stray from day to day, and by the day of the week.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from benchmarks.figure import Figure, Proof, most_a_year
from noria.monitoring.table import TableReading, judge_table

START = datetime(2024, 1, 1, tzinfo=UTC)
REFERENCE, YEAR, LATER = 60, 365, 12  # windows: learnt from, of a quiet year, after a change
ROWS, DIMENSIONS, TOPICS = 200, 48, 3
YEARS = int(os.environ.get("TABLE_YEARS", "20"))
STREAMS = int(os.environ.get("TABLE_STREAMS", "20"))
WORDS = np.array([f"word{i}" for i in range(800)])
FOREIGN = np.array([f"слово{i}" for i in range(800)])


class Reviews:
    """Days of a table of reviews. `weekly`: the topics' shares follow the day of the week."""

    def __init__(self, seed: int, *, weekly: bool) -> None:
        self.rng, self._weekly = np.random.default_rng([17, seed]), weekly
        zipf = 1 / np.arange(1, len(WORDS) + 1)
        self._common = np.cumsum(zipf / zipf.sum())
        self._topical = np.array([self.rng.permutation(len(WORDS))[:30] for _ in range(TOPICS)])
        self._centres = self.rng.normal(size=(TOPICS, DIMENSIONS))

    def shares(self, day: int) -> np.ndarray:
        logits = 0.1 * self.rng.normal(size=TOPICS) + (0.5 * np.sin(2 * np.pi * (day % 7 + np.arange(TOPICS)) / 7) if self._weekly else 0)
        return np.asarray(np.exp(logits) / np.exp(logits).sum())

    def day(self, day: int, shares: np.ndarray | None = None, vocabulary: np.ndarray = WORDS, foreign: float = 0.0) -> pa.Table:
        rng = self.rng
        topic = rng.choice(TOPICS, size=ROWS, p=self.shares(day) if shares is None else shares)
        texts = [self._text(int(t), FOREIGN if rng.random() < foreign else vocabulary) for t in topic]
        vectors = (self._centres[topic] + rng.normal(size=(ROWS, DIMENSIONS))).astype(np.float32)
        at = [START + timedelta(days=day, seconds=float(s)) for s in np.sort(rng.uniform(0, 86_400, ROWS))]
        made = [moment - timedelta(hours=float(h)) for moment, h in zip(at, rng.exponential(2.0, ROWS), strict=True)]
        return pa.table(
            {
                "at": pa.array(at, pa.timestamp("us", tz="UTC")),
                "made_at": pa.array(made, pa.timestamp("us", tz="UTC")),
                "review": texts,
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS),
                "amount": rng.gamma(2.0, 10.0, ROWS),
                "country": rng.choice(["DE", "FR", "IT", "ES"], ROWS, p=[0.4, 0.3, 0.2, 0.1]),
                "shop": [f"S{n % 300:03d}" for n in rng.zipf(1.5, ROWS)],
                "customer": [f"C-{n:07d}" for n in rng.integers(0, 10**7, ROWS)],
            }
        )

    def _text(self, topic: int, vocabulary: np.ndarray) -> str:
        count = int(self.rng.integers(5, 30))
        places = np.minimum(self._common.searchsorted(self.rng.random(count)), len(WORDS) - 1)
        own = self.rng.random(count) < 0.25
        places[own] = self.rng.choice(self._topical[topic], int(own.sum()))
        return " ".join(vocabulary[places]).capitalize() + "."


def _with(table: pa.Table, name: str, column: object) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def _texts(change: Callable[[int, str], str | None]) -> Callable[[Reviews, int], pa.Table]:
    def changed(reviews: Reviews, day: int) -> pa.Table:
        table = reviews.day(day)
        return _with(table, "review", pa.array([change(i, text) for i, text in enumerate(table["review"].to_pylist())]))

    return changed


def _vectors(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Reviews, int], pa.Table]:
    def changed(reviews: Reviews, day: int) -> pa.Table:
        table = reviews.day(day)
        vectors = change(np.array(table["vector"].to_pylist(), np.float32))
        return _with(table, "vector", pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]))

    return changed


def _another_model(vectors: np.ndarray) -> np.ndarray:
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(DIMENSIONS, DIMENSIONS)))
    return np.asarray(vectors @ turned, np.float32)


def _some_zero(vectors: np.ndarray) -> np.ndarray:
    vectors[::10] = 0.0
    return vectors


def _mojibake(place: int, text: str) -> str:
    return text if place % 5 else text.replace("o", "Ã¶")


def _late(reviews: Reviews, day: int) -> pa.Table:
    table = reviews.day(day)
    late = [moment - timedelta(hours=12) for moment in table["made_at"].to_pylist()]
    return _with(table, "made_at", pa.array(late, pa.timestamp("us", tz="UTC")))


def _again(reviews: Reviews, day: int) -> pa.Table:
    table = reviews.day(day)
    return pa.concat_tables([table, table.slice(0, ROWS // 8)])


def _codes(reviews: Reviews, day: int) -> pa.Table:
    table = reviews.day(day)
    return _with(table, "customer", pa.array([code.replace("-", "") for code in table["customer"].to_pylist()]))


@dataclass(frozen=True)
class Change:
    """Something that goes wrong: `columns` at fault, one of which has to be named, within so many windows."""

    name: str
    columns: tuple[str, ...]
    day: Callable[[Reviews, int], pa.Table]
    within: int = 3


MIX = np.array([0.15, 0.3, 0.55])  # of three topics that were about equal
CHANGES = (
    Change("topics of other shares", ("review", "vector"), lambda r, d: r.day(d, shares=MIX), within=6),
    Change("a tenth in another language", ("review",), lambda r, d: r.day(d, foreign=0.1)),
    Change("texts cut at 60 characters", ("review",), _texts(lambda _, text: text[:60])),
    Change("texts in capitals", ("review",), _texts(lambda _, text: text.upper())),
    Change("a fifth with a broken encoding", ("review",), _texts(_mojibake)),
    Change("a fifth of the texts missing", ("review",), _texts(lambda i, text: text if i % 5 else None)),
    Change("another embedding model", ("vector",), _vectors(_another_model)),
    Change("a tenth of the embeddings zero", ("vector",), _vectors(_some_zero)),
    Change("embeddings of half the length", ("vector",), _vectors(lambda v: v / 2)),
    Change("codes written otherwise", ("customer",), _codes),
    Change("made half a day earlier", ("made_at",), _late),
    Change("an eighth of the rows twice", ("(rows that came before)",), _again),
)


def words(pool: ProcessPoolExecutor) -> Proof:
    """Quiet years of tables, and what goes wrong in them."""
    for weekly in (False, True):
        found = [f for year in pool.map(_quiet, range(YEARS), [weekly] * YEARS) for f in year]
        kind = "by the day of the week" if weekly else "the same every day"
        yield f"# tables with texts and embeddings, topics {kind}: {len(found)} findings in {YEARS} years{_list(found)}"
        bound = most_a_year(len(found), YEARS) / 2
        yield Figure(f"false_alarms_of_budget: tables, topics {kind}", bound, "times the budget of 2 a year, upper 95 % bound", "<=", 1)
    for place, change in enumerate(CHANGES):
        told = list(pool.map(_changed, [place] * STREAMS, range(STREAMS)))
        delays = sorted(delay for delay, _ in told if delay is not None)
        named = sum(right for _, right in told)
        middle = f"{delays[len(delays) // 2]}" if delays else "never"
        yield f"# {change.name}: found in {len(delays)} of {STREAMS}, after {middle} windows (median); the column named in {named}"
        share = sum(delay <= change.within for delay in delays) / STREAMS
        yield Figure(f"found: {change.name}", share, f"of tables, within {change.within} windows (always alarm 1, never 0)", ">=", 0.95)


def _quiet(seed: int, weekly: bool) -> list[str]:
    reviews = Reviews(seed, weekly=weekly)
    return [f.summary for f in _judged(reviews.day(day) for day in range(REFERENCE + YEAR)).findings]


def _changed(place: int, seed: int) -> tuple[int | None, bool]:
    """After how many windows there was a finding, and whether one of those first names a column at fault."""
    reviews, change = Reviews(1000 + seed, weekly=False), CHANGES[place]
    days = (change.day(reviews, day) if day >= REFERENCE else reviews.day(day) for day in range(REFERENCE + LATER))
    reading = _judged(days)
    alarmed = [m.start for m in reading.drift.movements({})] + [f.window for f in reading.drift.faults]
    if not alarmed:
        return None, False
    leading = [name for m in reading.drift.movements({}) for name in m.columns] + [f.column for f in reading.drift.faults]
    return min(alarmed) + 1, any(name.startswith(change.columns) for name in leading)


def _judged(days: Iterator[pa.Table]) -> TableReading:
    return judge_table(pa.concat_tables(list(days)), "at", reference=REFERENCE, false_alarms_per_year=2.0, name="reviews")


def _list(found: list[str]) -> str:
    return ": " + "; ".join(sorted(found)[:6]) if found else ""
