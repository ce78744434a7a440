"""The report of a replay: one self-contained HTML page. Aggregates only, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from noria.evidence.charts import Mark, heatmap, seconds, timeline
from noria.evidence.line_chart import Line, line_chart
from noria.evidence.page import page
from noria.evidence.tables import Cell, findings_table, table
from noria.evidence.thinned import firsts, means, places
from noria.evidence.to_do import by_incident

LANES = (
    ("train", "trained"),
    ("shadow", "in shadow"),
    ("test", "in an A/B test"),
    ("promote", "promoted"),
    ("refuse", "refused"),
    ("finding", "findings"),
)
VERB = {"train": "trained", "shadow": "put in shadow", "test": "put in an A/B test", "promote": "promoted", "refuse": "refused"}
STRONG_SHIFT = 0.25
MAX_ROWS, MAX_CELLS = 20, 60  # of the map of input drift


def render_report(project: str, figures: Mapping[str, Any], shift: Mapping[str, Any]) -> str:
    """The whole page, from `replay_figures` and `feature_shift`."""
    starts = [w["start"] for w in figures["weeks"]]
    span, policies = figures["span"], figures["policies"]
    told = (
        f"{project} · replay of {_day(span['start'], year=True)} to {_day(span['end'], year=True)} · "
        f"{policies['loop']['predictions']:,} predictions, each from the data known at its time"
    )
    sections = [
        _cards(figures),
        _open_findings(figures["findings"]),
        _saved(figures, starts),
        _decision_line(figures, starts),
        _weekly(figures, starts),
        _decision_table(figures),
        _finding_table(figures["findings"]),
        _drift(shift),
        _costs(figures),
        _week_table(figures),
    ]
    return page(f"{project}: replay", headline(figures), told, sections)


def gain(figures: Mapping[str, Any], policy: str, within: Mapping[str, float] | None = None) -> float:
    """By how much a policy is better than never retraining, over all or within one week's figures of every policy."""
    metric = figures["metric"]
    own = within or {name: each[metric["name"]] for name, each in figures["policies"].items()}
    return own["static"] - own[policy] if metric["best"] == "lowest" else own[policy] - own["static"]


def share_recovered(figures: Mapping[str, Any]) -> float | None:
    """The loop's improvement over the static champion, as a share of the calendar's; None where that has none."""
    best = gain(figures, "calendar")
    return gain(figures, "loop") / best if best > 0 else None


def headline(figures: Mapping[str, Any]) -> str:
    """Whether the loop helped, and what it cost, in one sentence."""
    loop, calendar, share = figures["policies"]["loop"], figures["policies"]["calendar"], share_recovered(figures)
    trained = f"{loop['retrainings']} retraining{'s' * (loop['retrainings'] != 1)}"
    if share is None:
        return f"Retraining every four weeks did not help here; the loop made {trained} (calendar: {calendar['retrainings']})."
    if not loop["retrainings"]:
        better = f"improved {figures['metric']['title']} by {gain(figures, 'calendar'):.4f}"
        return f"The loop saw no reason to retrain; retraining every four weeks {better} (retrainings: {calendar['retrainings']})."
    if share <= 0:
        return f"The loop did not help: {trained}, and a worse {figures['metric']['title']} than never retraining."
    return f"The loop achieved {share:.0%} of the calendar’s improvement with {trained} instead of {calendar['retrainings']}."


def _cards(figures: Mapping[str, Any]) -> str:
    metric, told = figures["metric"], figures["discrimination"]
    names = {"loop": "The loop", "calendar": "Every four weeks", "static": "Never retrained"}
    cards = []
    for name, title in names.items():
        p = figures["policies"][name]
        note = f"{gain(figures, name):+.4f} gained · " if name != "static" else ""
        note += f"{told['title']} {p[told['name']]:.3f} · " if told else ""
        cards.append(
            f'<div class="card {name}"><span>{title}</span><b>{_value(p, metric)} {escape(metric["title"])}</b>'
            f"<span>{note}{p['retrainings']} retrainings · {p['seconds']:.0f} s of training</span></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _open_findings(findings: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong at the end of the replay."""
    still = [f for f in findings if f["closed_at"] is None]
    return f"<p class='dim'>Open at the end of the replay:</p>{by_incident(still, shown=1)}" if still else ""


def _saved(figures: Mapping[str, Any], starts: Sequence[str]) -> str:
    weeks = figures["weeks"]
    total = sum(w["rows"] for w in weeks)
    lines = []
    for name, title in (("calendar", "every four weeks"), ("loop", "the loop")):
        saved, path = 0.0, []
        for week in weeks:
            saved += gain(figures, name, week[figures["metric"]["name"]]) * week["rows"] / total
            path.append(saved)
        lines.append(Line(title, name, path))
    lines.append(Line("never retrained", "static", 0.0))
    marks = [m for m in _marks(figures) if m.style in ("promote", "refuse")]
    unit = figures["metric"].get("unit") or ""
    return (
        "<h2>What retraining has saved so far</h2>"
        f'<p class="dim">{_title(figures)} saved against the model that is never retrained, added up over the span (higher is better); '
        "dashed: the loop promoted a new champion, with the reason for its training.</p>"
        + line_chart(lines, starts, marks=marks, height=290, unit=unit)
    )


def _decision_line(figures: Mapping[str, Any], starts: Sequence[str]) -> str:
    return '<h2>When the loop acted</h2><p class="dim">Hover over a mark for the reason; see the table for the evidence.</p>' + timeline(
        _marks(figures), LANES, starts
    )


def _weekly(figures: Mapping[str, Any], starts: Sequence[str]) -> str:
    titles = (("static", "never retrained"), ("calendar", "every four weeks"), ("loop", "the loop"))
    metric = figures["metric"]
    lines = [Line(title, name, [w[metric["name"]][name] for w in figures["weeks"]]) for name, title in titles]
    return (
        f"<h2>{_title(figures)} of each week</h2>"
        f'<p class="dim">{"Lower" if metric["best"] == "lowest" else "Higher"} is better. '
        "A bad week is bad for every policy; what retraining changes is the "
        "distance between the lines.</p>" + line_chart(lines, starts, unit=metric.get("unit") or "")
    )


def _headed(metric: Mapping[str, str]) -> str:
    """Its title, with the unit, over figures without."""
    return f"{metric['title']} ({metric['unit']})" if metric.get("unit") else metric["title"]


def _value(policy: Mapping[str, Any], metric: Mapping[str, str]) -> str:
    """A policy's figure, with its unit."""
    return f"{policy[metric['name']]:.4f}" + (f" {escape(metric['unit'])}" if metric.get("unit") else "")


def _title(figures: Mapping[str, Any]) -> str:
    """The metric's name, where a sentence begins."""
    title = escape(figures["metric"]["title"])
    return title[:1].upper() + title[1:]


def _marks(figures: Mapping[str, Any]) -> list[Mark]:
    start = datetime.fromisoformat(figures["span"]["start"])
    marks, cause = [], ""
    for d in figures["decisions"]:
        if d["action"] == "train":
            cause = d["reason"].split(":")[0]
        if datetime.fromisoformat(d["time"]) > start:
            title = f"{_day(d['time'])}: {VERB[d['action']]}, because {d['reason']}"
            marks.append(Mark(seconds(d["time"]), d["action"], title, cause if d["action"] == "promote" else d["action"]))
    return marks + [
        Mark(seconds(f["opened_at"]), "finding", f"{_day(f['opened_at'])}: {f['kind']} in {f['subject']}") for f in figures["findings"]
    ]


def _decision_table(figures: Mapping[str, Any]) -> str:
    rows = (
        (
            (_day(d["time"]), "day"),
            (VERB[d["action"]], f"tag {d['action']}"),
            escape(d["reason"]),
            (escape(_evidence(d, figures)), "dim"),
            (escape(d["outcome"]), "dim"),
        )
        for d in figures["decisions"]
    )
    return "<h2>Every decision, with its evidence</h2>" + table(("day", "what", "why", "evidence", "outcome"), rows, stacked=True)


def _evidence(decision: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """The evidence of a decision in one line."""
    evidence = decision["evidence"]
    if "gates" in evidence:
        return "; ".join(f"{g['outcome']}: {g['why']}" for g in evidence["gates"])
    if evidence.get("interval") and "baseline" in evidence:  # of a metric's mean, and not of a gain
        i = evidence["interval"]
        mean = f"mean {i['mean']:.4f} since the champion went live"
        return f"{mean}, confidence sequence {i['lower']:.4f} to {i['upper']:.4f}; baseline {evidence['baseline']:.4f}"
    if evidence.get("interval"):
        i = evidence["interval"]
        sure = "" if figures["confidence"] is None else f"{figures['confidence']:.0%} "
        return f"gain {i['mean']:+.4f}, {sure}confidence sequence {i['lower']:+.4f} to {i['upper']:+.4f}"
    if "threshold" in evidence:
        after = f"{evidence.get('windows', '?')} windows of {figures['every']}"
        return f"evidence {evidence['evidence']:,.0f} against a threshold of {evidence['threshold']:,.0f} after {after}"
    if "age_days" in evidence:
        return f"age {evidence['age_days']:.0f} days"
    return ""


def _finding_table(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p class='dim'>The monitors found nothing.</p>"
    return "<h2>What the monitors found</h2>" + findings_table(findings, _day, still_open="open")


def _drift(shift: Mapping[str, Any]) -> str:
    if not shift["columns"]:
        return ""
    strength = [max((abs(v) for v in row if v is not None), default=0.0) for row in shift["shift"]]
    order = sorted(range(len(strength)), key=lambda i: -strength[i])[:MAX_ROWS]
    rows, groups = [shift["columns"][i] for i in order], places(len(shift["weeks"]), MAX_CELLS)
    return (
        "<h2>Input drift</h2>"
        '<p class="dim">Each week against the reference of the champion at the time: red where values rank higher, blue where '
        f"they rank lower (full color at ±{STRONG_SHIFT}). The {len(rows)} features that moved most; a new champion resets it.</p>"
        + heatmap(rows, firsts(shift["weeks"], groups), [means(shift["shift"][i], groups) for i in order], most=STRONG_SHIFT)
    )


def _costs(figures: Mapping[str, Any]) -> str:
    metrics = [metric for metric in (figures["metric"], figures["discrimination"]) if metric]
    heads = ("policy", "retrainings", "promotions", "seconds of training", *(escape(_headed(metric)) for metric in metrics))
    rows = (
        (name, str(p["retrainings"]), str(p["promotions"]), f"{p['seconds']:.1f}", *(f"{p[metric['name']]:.4f}" for metric in metrics))
        for name, p in figures["policies"].items()
    )
    serving = figures.get("serving")
    served = (
        f"<p>Served over HTTP afterwards: {serving['requests']:,} held-back rows, {serving['mismatches']} answers that differ "
        f"from the replay’s, {serving['requests_per_second']:,.0f} requests a second from one client.</p>"
        if serving
        else ""
    )
    return (
        f"<h2>Cost</h2>{table(heads, map(_figures_right, rows))}{served}"
        f"<p class='dim'>The loop trains every candidate twice: once without the newest {escape(figures['holdout'])} of labelled data, "
        "to evaluate it on them, and once on everything.</p>"
    )


def _week_table(figures: Mapping[str, Any]) -> str:
    heads = ("week", "predictions", escape(figures["observed"]), "never retrained", "every four weeks", "the loop")
    rows = (
        (
            f"{w['week']}, {_day(w['start'])}",
            f"{w['rows']:,}",
            str(w["observed"]),
            *(f"{w[figures['metric']['name']][name]:.4f}" for name in ("static", "calendar", "loop")),
        )
        for w in figures["weeks"]
    )
    shown = table(heads, map(_figures_right, rows))
    return f"<h2>Week by week</h2><details><summary class='dim'>all figures</summary>{shown}</details>"


def _figures_right(row: Sequence[str]) -> list[Cell]:
    """A row of which all but the first are figures."""
    return [row[0], *((figure, "n") for figure in row[1:])]


def _day(text: str, *, year: bool = False) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment:%-d %b %Y}" if year else f"{moment:%-d %b}"
