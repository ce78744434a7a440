"""What a worker measures while it serves, cheap enough for every batch; and the same as Prometheus reads it.

A batch is one observation with the weight of its rows: all of them waited and were scored together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noria.serving.observe.generated import COUNTERS as GENERATED
from noria.serving.observe.tenants import COUNTERS as TENANTS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
FIRST_PART = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Histogram:
    """Counts between fixed upper bounds, and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float, weight: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += weight
        self.total += value * weight

    def quantile(self, share: float) -> float:
        """An upper bound of the quantile; infinite beyond the last bound, 0 when there is nothing."""
        wanted, seen = share * sum(self.counts), 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound if seen else 0.0
        return 0.0

    def to_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "total": self.total}


class Measures:
    """One endpoint's latencies and batch sizes in one worker: the stages of a batch, and the whole."""

    def __init__(self) -> None:
        self.wait_seconds, self.lookup_seconds, self.score_seconds = Histogram(SECONDS), Histogram(SECONDS), Histogram(SECONDS)
        self.commit_seconds, self.answer_seconds, self.batch_rows = Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS)
        self.first_part_seconds = Histogram(FIRST_PART)

    def waited(self, seconds: float) -> None:
        self.wait_seconds.add(seconds)

    def looked_up(self, seconds: float) -> None:
        self.lookup_seconds.add(seconds)

    def scored(self, rows: int, seconds: float) -> None:
        self.score_seconds.add(seconds)
        self.batch_rows.add(rows)

    def answered(self, rows: int, seconds: float, commit_seconds: float) -> None:
        self.answer_seconds.add(seconds, rows)
        self.commit_seconds.add(commit_seconds)

    def first_part(self, seconds: float) -> None:
        self.first_part_seconds.add(seconds)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_dict() for name in HISTOGRAMS}


HISTOGRAMS = {
    "wait_seconds": ("noria_wait_seconds", "Time from a batch's first request to the start of scoring", SECONDS),
    "lookup_seconds": ("noria_lookup_seconds", "Time to look up a batch in the online store", SECONDS),
    "answer_seconds": ("noria_answer_seconds", "Time from a request's arrival to its response, per row", SECONDS),
    "score_seconds": ("noria_score_seconds", "Time to score a batch", SECONDS),
    "commit_seconds": ("noria_commit_seconds", "Time to commit a batch to the prediction log", SECONDS),
    "first_part_seconds": ("noria_first_part_seconds", "Time from a request's arrival to the first part of its answer", FIRST_PART),
    "batch_rows": ("noria_batch_rows", "Rows per batch", ROWS),
}
LIVE = {
    "shift": ("noria_feature_shift", "Shift of a feature's mean rank from the reference over the last minute, -0.5 to 0.5"),
    "null_share": ("noria_feature_nulls", "Share of null values in the last minute"),
    "outside_share": ("noria_feature_outside", "Share of unseen or out-of-range values in the last minute"),
}
COUNTERS = {
    "requests": "Prediction requests",
    "asked": "Rows requested",
    "answered": "Rows answered",
    "logged": "Answered rows written to the prediction log",
    "unlogged": "Answered rows that log sampling left out",
    "failed": "Rows refused, or on which the model failed",
    "rejected": "Rows rejected because the server was overloaded",
    "late": "Rows whose deadline passed before they were scored",
    "gone": "Rows whose client disconnected before they were scored",
    "fallbacks": "Rows answered by a fallback instead of the champion",
    "shadowed": "Rows scored by a challenger in shadow",
    "batches": "Batches scored",
    "streams": "Requests for an answer in parts",
    "parts": "Parts of answers made",
    "cut": "Answers in parts that ended before they were complete",
}


def collect(workers: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """The states of workers (by worker: what `Frontend.state` gives) as metrics of the official client."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    labels = ["endpoint", "worker"]
    endpoints = [(worker, e) for worker, state in workers.items() for e in state["endpoints"]]
    for name, words in COUNTERS.items():
        counter = CounterMetricFamily(f"noria_{name}", words, labels=labels)
        for worker, e in endpoints:
            counter.add_metric([e["endpoint"], worker], e["counts"][name])
        yield counter
    generating = [(worker, e) for worker, e in endpoints if e["generated"] is not None]
    for name, words in GENERATED.items() if generating else ():
        counter = CounterMetricFamily(f"noria_{name}", words, labels=labels)
        for worker, e in generating:
            counter.add_metric([e["endpoint"], worker], e["generated"][name])
        yield counter
    for name, words in TENANTS.items() if generating else ():
        counter = CounterMetricFamily(f"noria_tenant_{name}", words, labels=[*labels, "tenant"])
        for worker, e in generating:
            for tenant, sums in e["generated"]["tenants"].items():
                counter.add_metric([e["endpoint"], worker, tenant], sums[name])
        yield counter
    for name, (metric, words, bounds) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(metric, words, labels=labels)
        for worker, e in endpoints:
            measured, seen, buckets = e["measures"][name], 0, []
            for bound, count in zip((*bounds, "+Inf"), measured["counts"], strict=True):
                seen += count
                buckets.append((str(bound), seen))
            histogram.add_metric([e["endpoint"], worker], buckets, measured["total"])
        yield histogram
    served = GaugeMetricFamily("noria_bundle", "1 for the bundle of an endpoint's champion", labels=[*labels, "bundle"])
    for worker, e in endpoints:
        served.add_metric([e["endpoint"], worker, e["bundle"]], 1)
    yield served
    waiting = GaugeMetricFamily("noria_waiting_rows", "Rows queued for scoring", labels=labels)
    streams = GaugeMetricFamily("noria_open_streams", "Answers being made in parts, or queued for it", labels=labels)
    queued = GaugeMetricFamily("noria_queued_streams", "Answers in parts that wait for their turn", labels=labels)
    age = GaugeMetricFamily("noria_feature_age_seconds", "Age of the features in the online store", labels=labels)
    hits = CounterMetricFamily("noria_cache_hits", "Rows answered from the cache", labels=labels)
    restarts = CounterMetricFamily("noria_model_restarts", "Processes of models that were lost and replaced", labels=labels)
    for worker, e in endpoints:
        waiting.add_metric([e["endpoint"], worker], e["waiting"])
        streams.add_metric([e["endpoint"], worker], e["open_streams"])
        queued.add_metric([e["endpoint"], worker], e["queued_streams"])
        restarts.add_metric([e["endpoint"], worker], e["model_restarts"])
        hits.add_metric([e["endpoint"], worker], e["cache_hits"])
        if e["feature_age_seconds"] is not None:
            age.add_metric([e["endpoint"], worker], e["feature_age_seconds"])
    yield from (waiting, streams, queued, age, hits, restarts)
    for told, (metric, words) in LIVE.items():
        gauge = GaugeMetricFamily(metric, words, labels=[*labels, "feature"])
        for worker, e in endpoints:
            for feature, figures in (e["live_profile"] or {"columns": {}})["columns"].items():
                gauge.add_metric([e["endpoint"], worker, feature], figures[told])
        yield gauge
    errors = CounterMetricFamily("noria_errors", "Requests answered with an error, by error code", labels=["worker", "code"])
    for worker, state in workers.items():
        for code, count in state["errors"].items():
            errors.add_metric([worker, code], count)
    yield errors
    spans = CounterMetricFamily("noria_spans", "Trace spans, sent or lost", labels=["worker", "fate"])
    for worker, state in workers.items():
        for fate in ("sent", "lost") if state["traces"] else ():
            spans.add_metric([worker, fate], state["traces"][f"spans_{fate}"])
    yield spans
    ready = GaugeMetricFamily("noria_ready", "Whether a worker reproduces its golden predictions", labels=["worker"])
    for worker, state in workers.items():
        ready.add_metric([worker], state["health"] == "healthy")
    yield ready
