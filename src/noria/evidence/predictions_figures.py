"""The figures of a table of predictions: what was judged, what was found, and each metric by window, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from noria.core.clock import in_words
from noria.core.health import Healthy, Unhealthy, word
from noria.evidence.inputs import input_figures
from noria.evidence.problems import reasons, worst_first
from noria.monitoring.findings import Finding, began
from noria.monitoring.misdated import written
from noria.monitoring.performance import PerformanceReading
from noria.monitoring.predictions.reading import PredictionsReading, title_of
from noria.monitoring.windowed_table import length


def predictions_figures(reading: PredictionsReading, model: str | None = None) -> dict[str, Any]:
    """What is to be said of the predictions of one model."""
    table, maturity = reading.table, reading.maturity
    starts = [window.start.isoformat() for window in reading.windows]
    task = reading.answers.task
    return {
        "model": model,
        "task": {
            "name": task.name,
            "title": task.title,
            "inferred": reading.answers.inferred,
            "classes": list(getattr(task, "classes", ())),
        },
        "rows": table.rows,
        "every": length(table.every),
        "reference": {"since": starts[0], "until": starts[reading.reference], "windows": reading.reference},
        "judged": {"since": starts[reading.reference], "until": starts[-1], "windows": len(table.drift.starts)},
        "false_alarms_per_year": reading.budget,
        "shares": dict(reading.shares),
        "states": [_state(name, health) for name, health in reading.states],
        "findings": [_finding(f) for f in reading.findings],
        "wrong_now": len(reading.wrong_now),
        "outcomes": {
            "column": reading.outcome,
            "known": int(maturity.known.sum()),
            "predictions": int(maturity.rows.sum()),
            "usual_share": round(maturity.usual, 4),
            "as_of": maturity.as_of.isoformat(),
            "delay": None if maturity.delay is None else in_words(maturity.delay),
            "rule": maturity.words,
            "waiting_windows": maturity.waiting,
        },
        "windows": [
            {"start": start, "rows": w.rows, "outcomes": w.known, "due": w.due} for start, w in zip(starts, reading.windows, strict=True)
        ],
        "performance": [_performance(reading, each) for each in reading.performance],
        "estimated": _estimated(reading),
        "partial": [{"start": p.start.isoformat(), "metric": p.metric.name, **p.estimate.to_dict()} for p in reading.partial],
        "notes": [*reading.notes, *_unseen(reading)],
        "columns": list(table.drift.columns),
        "answer_columns": list(reading.watched),
        "left_out": list(table.left_out),
        "inputs": input_figures(table.drift, table.profile, table.values, "the reference", table.labels),
    }


def _state(name: str, health: Any) -> dict[str, Any]:
    why = health.cause if isinstance(health, Unhealthy) else "" if isinstance(health, Healthy) else health.why
    return {"monitor": name, "health": word(health), "why": why, "evidence": dict(health.evidence) if isinstance(health, Healthy) else {}}


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "subject": found.subject,
        "since": found.since.isoformat(),
        "severity": found.severity,
        "summary": found.summary,
        "fix": found.fix,
        **_plain(reasons(found.evidence)),
        "over": found.evidence["over"],
        "evidence": _plain({name: value for name, value in found.evidence.items() if name != "over"}),
    }


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN and no numpy."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _performance(reading: PredictionsReading, one: PerformanceReading) -> dict[str, Any]:
    values, bounds = reading.values(one)
    metric = one.metric
    return {
        "metric": one.name,
        "title": title_of(one),
        "unit": metric.unit,
        "slice": one.slice or None,
        "of_class": metric.name.endswith(".accuracy"),
        "tolerance": one.tolerance.by,
        "tolerated": metric.tolerated(one.baseline, one.tolerance.by),
        "baseline": one.baseline,
        "recent": _plain(one.recent) if len(one.values) else None,
        "mean": None if one.interval is None else _plain(one.interval.to_dict()),
        "judged": len(one.values),
        "evidence": _plain(float(one.evidence[-1])) if len(one.evidence) else None,
        "threshold": one.threshold,
        "worse": began(one.evidence, one.threshold) is not None if len(one.evidence) else False,
        "values": values,
        "intervals": [None if each is None else list(each) for each in bounds],
    }


def _estimated(reading: PredictionsReading) -> dict[str, Any] | None:
    if reading.estimated is None:
        return None
    trust, expected, bias = reading.estimated.trust, reading.estimated.expected, reading.estimated.bias
    return {
        "metric": trust.metric.name,
        "title": trust.metric.title,
        "values": [None if e is None else float(e.mean) + bias for e in expected],
        "covered": trust.covered,
        "reliable": trust.reliable,
    }


def _unseen(reading: PredictionsReading) -> list[str]:
    """What was not judged, in sentences."""
    table, maturity = reading.table, reading.maturity
    found = [f"{table.untimed:,} rows have no timestamp"] if table.untimed else []
    found += [f"{m.summary}: excluded, first in row {m.first_row:,} ({written(m.oldest)})" for m in table.misdated]
    found += [f"{table.waiting:,} rows wait until their window is complete"] if table.waiting else []
    found += [f"column {name} is not checked" for name in table.left_out]
    found += [f"column {name} {why}" for name, why in table.unjudged.items()]
    found += [
        f"the window of {start:%Y-%m-%d %H:%M} seems to be incomplete in the table: its rows are not counted" for start in table.parts
    ]
    if maturity.waiting and reading.outcome is not None:
        newest = next(w.start for w in reading.windows if not w.due and w.rows)
        found.append(f"{maturity.waiting:,} windows since {newest:%Y-%m-%d %H:%M} wait for outcomes ({maturity.words})")
    return found


def headline(figures: Mapping[str, Any]) -> str:
    """How the predictions are, in one sentence."""
    wrong = [f for model in figures["models"] for f in model["findings"] if f["over"] is None]
    name = figures["table"]
    if wrong:
        first = worst_first(wrong)[0]
        model = next(m["model"] for m in figures["models"] if first in m["findings"])
        of = f" ({model})" if model is not None else ""
        return f"{name}{of}: {first['summary']}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
    unknown = unknown_parts(figures)
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        return f"{name}: no problem found, but {unknown[0][0]} is unknown{more}"
    waiting = [m for m in figures["models"] if m["outcomes"]["column"] and m["outcomes"]["waiting_windows"]]
    if not waiting:
        return f"{name} is healthy: no problems in the newest window"
    judged = min(max((w["start"] for w in m["windows"] if w["due"] and w["outcomes"]), default=m["judged"]["since"]) for m in waiting)
    return f"{name} is healthy: no problems in the newest window; performance is known up to {judged[:10]}"


ESTIMATED, METRIC = "estimated performance", "performance: "


def unknown_parts(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The monitors that can't say anything, and why; no estimate is needed where all outcomes are known."""
    found = dict[str, str]()
    for model in figures["models"]:
        known = bool(model["performance"]) and not model["outcomes"]["waiting_windows"]
        states = [s for s in model["states"] if not (s["monitor"] == ESTIMATED and known)]
        metrics = [s for s in states if s["monitor"].startswith(METRIC)]
        for s in (s for s in states if s["health"] == "unknown"):
            whole = s in metrics and all(m["health"] == "unknown" for m in metrics)
            name = "performance" if whole else s["monitor"]
            found.setdefault(name if model["model"] is None else f"{model['model']}: {name}", s["why"])
    return [*found.items(), *((f"model {name}", why) for name, why in figures["not_judged"].items())]
