"""The report of a replay: one self-contained HTML page. Aggregates only, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from noria.evidence.charts import Line, Mark, heatmap, line_chart, timeline
from noria.evidence.page import page
from noria.evidence.tables import findings_table

LANES = (("train", "trained"), ("shadow", "in shadow"), ("promote", "promoted"), ("refuse", "refused"), ("finding", "findings"))
VERB = {"train": "trained", "shadow": "put in shadow", "promote": "promoted", "refuse": "refused"}
STRONG_SHIFT = 0.25


def render_report(project: str, figures: Mapping[str, Any], shift: Mapping[str, Any]) -> str:
    """The whole page, from `replay_figures` and `feature_shift`."""
    weeks = figures["weeks"]
    labels = [_day(w["start"]) for w in weeks]
    span, policies = figures["span"], figures["policies"]
    told = (
        f"{project} · replay of {_day(span['start'], year=True)} to {_day(span['end'], year=True)} · "
        f"{policies['loop']['predictions']:,} predictions, each from the data known at its time"
    )
    sections = [
        _cards(figures),
        _saved(figures, labels),
        _decision_line(figures, labels),
        _weekly(figures, labels),
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


def _saved(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    weeks = figures["weeks"]
    total = sum(w["rows"] for w in weeks)
    lines = []
    for name, title in (("calendar", "every four weeks"), ("loop", "the loop")):
        saved, path = 0.0, []
        for week in weeks:
            saved += gain(figures, name, week[figures["metric"]["name"]]) * week["rows"] / total
            path.append(saved)
        lines.append(Line(title, name, path))
    lines.append(Line("never retrained", "static", [0.0] * len(weeks)))
    marks = [m for m in _marks(figures) if m.style in ("promote", "refuse")]
    return (
        "<h2>What retraining has saved so far</h2>"
        f'<p class="dim">{_title(figures)} saved against the model that is never retrained, added up over the span (higher is better); '
        "dashed: the loop promoted a new champion, with the reason for its training.</p>"
        + line_chart(lines, labels, marks=marks, height=290)
    )


def _decision_line(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    return '<h2>When the loop acted</h2><p class="dim">Hover over a mark for the reason; see the table for the evidence.</p>' + timeline(
        _marks(figures), LANES, labels
    )


def _weekly(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    titles = (("static", "never retrained"), ("calendar", "every four weeks"), ("loop", "the loop"))
    metric = figures["metric"]
    lines = [Line(title, name, [w[metric["name"]][name] for w in figures["weeks"]]) for name, title in titles]
    return (
        f"<h2>{_title(figures)} of each week</h2>"
        f'<p class="dim">{"Lower" if metric["best"] == "lowest" else "Higher"} is better. '
        "A bad week is bad for every policy; what retraining changes is the "
        "distance between the lines.</p>" + line_chart(lines, labels)
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
    start, end = (datetime.fromisoformat(figures["span"][k]) for k in ("start", "end"))

    def at(text: str) -> float:
        return (datetime.fromisoformat(text) - start) / (end - start)

    marks, cause = [], ""
    for d in figures["decisions"]:
        if d["action"] == "train":
            cause = d["reason"].split(":")[0]
        if datetime.fromisoformat(d["time"]) > start:
            title = f"{_day(d['time'])}: {VERB[d['action']]}, because {d['reason']}"
            marks.append(Mark(at(d["time"]), d["action"], title, cause if d["action"] == "promote" else d["action"]))
    return marks + [
        Mark(at(f["opened_at"]), "finding", f"{_day(f['opened_at'])}: {f['kind']} in {f['subject']}") for f in figures["findings"]
    ]


def _decision_table(figures: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><td class="day">{_day(d["time"])}</td><td class="tag {d["action"]}">{VERB[d["action"]]}</td>'
        f"<td>{escape(d['reason'])}</td><td class='dim'>{escape(_evidence(d, figures))}</td>"
        f"<td class='dim'>{escape(d['outcome'])}</td></tr>"
        for d in figures["decisions"]
    ]
    return (
        "<h2>Every decision, with its evidence</h2><div class='scroll'><table><tr><th>day</th><th>what</th><th>why</th>"
        f"<th>evidence</th><th>outcome</th></tr>{''.join(rows)}</table></div>"
    )


def _evidence(decision: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """The evidence of a decision in one line."""
    evidence = decision["evidence"]
    if "gates" in evidence:
        return "; ".join(f"{g['outcome']}: {g['why']}" for g in evidence["gates"])
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
    order = sorted(range(len(strength)), key=lambda i: -strength[i])[:24]
    rows = [shift["columns"][i] for i in order]
    return (
        "<h2>Input drift</h2>"
        '<p class="dim">Each week against the reference of the champion at the time: red where values rank higher, blue where '
        f"they rank lower (full color at ±{STRONG_SHIFT}). The {len(rows)} features that moved most; a new champion resets it.</p>"
        + heatmap(rows, [_day(w) for w in shift["weeks"]], [shift["shift"][i] for i in order], most=STRONG_SHIFT)
    )


def _costs(figures: Mapping[str, Any]) -> str:
    metrics = [metric for metric in (figures["metric"], figures["discrimination"]) if metric]
    rows = "".join(
        f"<tr><td>{name}</td><td class='n'>{p['retrainings']}</td><td class='n'>{p['promotions']}</td><td class='n'>{p['seconds']:.1f}</td>"
        + "".join(f"<td class='n'>{p[metric['name']]:.4f}</td>" for metric in metrics)
        + "</tr>"
        for name, p in figures["policies"].items()
    )
    heads = "".join(f"<th class='n'>{escape(_headed(metric))}</th>" for metric in metrics)
    serving = figures.get("serving")
    served = (
        f"<p>Served over HTTP afterwards: {serving['requests']:,} held-back rows, {serving['mismatches']} answers that differ "
        f"from the replay’s, {serving['requests_per_second']:,.0f} requests a second from one client.</p>"
        if serving
        else ""
    )
    return (
        "<h2>Cost</h2><table><tr><th>policy</th><th class='n'>retrainings</th><th class='n'>promotions</th>"
        f"<th class='n'>seconds of training</th>{heads}</tr>{rows}</table>{served}"
        f"<p class='dim'>The loop trains every candidate twice: once without the newest {escape(figures['holdout'])} of labelled data, "
        "to evaluate it on them, and once on everything.</p>"
    )


def _week_table(figures: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{w['week']}</td><td>{_day(w['start'])}</td><td class='n'>{w['rows']:,}</td><td class='n'>{w['base_rate']:.3f}</td>"
        + "".join(f"<td class='n'>{w[figures['metric']['name']][name]:.4f}</td>" for name in ("static", "calendar", "loop"))
        + "</tr>"
        for w in figures["weeks"]
    )
    return (
        "<h2>Week by week</h2><details><summary class='dim'>all figures</summary><table><tr><th>week</th><th>from</th>"
        f"<th class='n'>predictions</th><th class='n'>{escape(figures['observed'])}</th><th class='n'>never retrained</th>"
        f"<th class='n'>every four weeks</th><th class='n'>the loop</th></tr>{rows}</table></details>"
    )


def _day(text: str, *, year: bool = False) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment:%-d %b %Y}" if year else f"{moment:%-d %b}"
