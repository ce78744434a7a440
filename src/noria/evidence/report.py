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
        _cards(policies),
        _saved(figures, labels),
        _decision_line(figures, labels),
        _weekly(figures, labels),
        _decision_table(figures),
        _finding_table(figures["findings"]),
        _drift(shift),
        _costs(figures),
        _week_table(weeks, figures["outcome"]),
    ]
    return page(f"{project}: replay", headline(policies), told, sections)


def share_recovered(policies: Mapping[str, Any]) -> float | None:
    """The loop's improvement over the static champion, as a share of the calendar's; None where that has none."""
    best = policies["static"]["log_loss"] - policies["calendar"]["log_loss"]
    return (policies["static"]["log_loss"] - policies["loop"]["log_loss"]) / best if best > 0 else None


def headline(policies: Mapping[str, Any]) -> str:
    """Whether the loop helped, and what it cost, in one sentence."""
    loop, calendar, share = policies["loop"], policies["calendar"], share_recovered(policies)
    trained = f"{loop['retrainings']} retraining{'s' * (loop['retrainings'] != 1)}"
    if share is None:
        return f"Retraining every four weeks did not help here; the loop made {trained} (calendar: {calendar['retrainings']})."
    if share <= 0:
        return f"The loop did not help: {trained}, and a higher loss than never retraining."
    return f"The loop achieved {share:.0%} of the calendar’s improvement with {trained} instead of {calendar['retrainings']}."


def _cards(policies: Mapping[str, Any]) -> str:
    names = {"loop": "The loop", "calendar": "Every four weeks", "static": "Never retrained"}
    cards = []
    for name, title in names.items():
        p = policies[name]
        gain = policies["static"]["log_loss"] - p["log_loss"]
        note = f"{gain:+.4f} gained · " if name != "static" else ""
        cards.append(
            f'<div class="card {name}"><span>{title}</span><b>{p["log_loss"]:.4f} log-loss</b>'
            f"<span>{note}AUC {p['auc']:.3f} · {p['retrainings']} retrainings · {p['seconds']:.0f} s of training</span></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _saved(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    weeks = figures["weeks"]
    total = sum(w["rows"] for w in weeks)
    lines = []
    for name, title in (("calendar", "every four weeks"), ("loop", "the loop")):
        saved, path = 0.0, []
        for week in weeks:
            saved += (week["log_loss"]["static"] - week["log_loss"][name]) * week["rows"] / total
            path.append(saved)
        lines.append(Line(title, name, path))
    lines.append(Line("never retrained", "static", [0.0] * len(weeks)))
    marks = [m for m in _marks(figures) if m.style in ("promote", "refuse")]
    return (
        "<h2>What retraining has saved so far</h2>"
        '<p class="dim">Log-loss saved against the model that is never retrained, added up over the span (higher is better); '
        "dashed: the loop promoted a new champion, with the reason for its training.</p>"
        + line_chart(lines, labels, marks=marks, height=290)
    )


def _decision_line(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    return '<h2>When the loop acted</h2><p class="dim">Hover over a mark for the reason; see the table for the evidence.</p>' + timeline(
        _marks(figures), LANES, labels
    )


def _weekly(figures: Mapping[str, Any], labels: Sequence[str]) -> str:
    titles = (("static", "never retrained"), ("calendar", "every four weeks"), ("loop", "the loop"))
    lines = [Line(title, name, [w["log_loss"][name] for w in figures["weeks"]]) for name, title in titles]
    return (
        "<h2>Log-loss of each week</h2>"
        '<p class="dim">Lower is better. A bad week is bad for every policy; what retraining changes is the '
        "distance between the lines.</p>" + line_chart(lines, labels)
    )


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
    rows = "".join(
        f"<tr><td>{name}</td><td class='n'>{p['retrainings']}</td><td class='n'>{p['promotions']}</td><td class='n'>{p['seconds']:.1f}</td>"
        f"<td class='n'>{p['log_loss']:.4f}</td><td class='n'>{p['auc']:.4f}</td></tr>"
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
        "<h2>Cost</h2><table><tr><th>policy</th><th class='n'>retrainings</th><th class='n'>promotions</th>"
        f"<th class='n'>seconds of training</th><th class='n'>log-loss</th><th class='n'>AUC</th></tr>{rows}</table>{served}"
        f"<p class='dim'>The loop trains every candidate twice: once without the newest {escape(figures['holdout'])} of labelled data, "
        "to evaluate it on them, and once on everything.</p>"
    )


def _week_table(weeks: Sequence[Mapping[str, Any]], outcome: str) -> str:
    rows = "".join(
        f"<tr><td>{w['week']}</td><td>{_day(w['start'])}</td><td class='n'>{w['rows']:,}</td><td class='n'>{w['base_rate']:.3f}</td>"
        + "".join(f"<td class='n'>{w['log_loss'][name]:.4f}</td>" for name in ("static", "calendar", "loop"))
        + "</tr>"
        for w in weeks
    )
    return (
        "<h2>Week by week</h2><details><summary class='dim'>all figures</summary><table><tr><th>week</th><th>from</th>"
        f"<th class='n'>predictions</th><th class='n'>share of {escape(outcome)}</th><th class='n'>never retrained</th>"
        f"<th class='n'>every four weeks</th><th class='n'>the loop</th></tr>{rows}</table></details>"
    )


def _day(text: str, *, year: bool = False) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment:%-d %b %Y}" if year else f"{moment:%-d %b}"
