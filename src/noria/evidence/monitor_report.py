"""The report of an endpoint's monitors: one self-contained HTML page that begins with what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.charts import Mark, seconds
from noria.evidence.inputs import render_inputs
from noria.evidence.line_chart import Line, line_chart
from noria.evidence.page import page
from noria.evidence.problems import said, worst_first
from noria.evidence.tables import day, findings_table, minute, table
from noria.evidence.thinned import firsts, greatest, means, places, together
from noria.evidence.to_do import by_incident, healthy, unknown
from noria.monitoring.findings import and_more

STATES = ("unhealthy", "unknown", "healthy")  # the worst first
MAX_MOMENTS = 240  # of a line: of more windows, neighbours are shown together
MAX_FINDINGS, MAX_SLICES = 60, 40


def render_monitor_report(project: str, figures: Mapping[str, Any]) -> str:
    """The whole page, from `monitor_figures`."""
    if figures["champion"] is None:
        told = "no champion yet"
    else:
        told = f"champion {figures['champion'][:12]} since {day(figures['since'])} · as of {minute(figures['at'])}"
    sections = [
        _to_do(figures),
        *_moved(figures),
        render_early(figures["early"]),
        _slices(figures["slices"]),
        _volume(figures["volume"]),
        _monitors(figures["monitors"]),
        _findings(figures["findings"]),
    ]
    return page(f"{figures['endpoint']}: monitors", _heading(figures), f"{project} · {told}", sections)


def headline(figures: Mapping[str, Any]) -> str:
    """How the endpoint is, in one sentence."""
    endpoint, wrong = figures["endpoint"], _open(figures)
    if wrong:
        return f"{endpoint}: {and_more([str(f['summary']) for f in wrong])}"
    blind = _blind(figures)
    if blind or not figures["monitors"]:
        return f"{endpoint}: unknown; " + (f"{blind[0][0]}: {blind[0][1]}" if blind else "it has no monitor")
    return f"{endpoint} is healthy: {len(figures['monitors'])} monitors, no open findings"


def _heading(figures: Mapping[str, Any]) -> str:
    """The same, above what is told in full."""
    wrong, incidents = len(_open(figures)), len(figures["incidents"])
    if wrong:
        several = f" in {incidents} incidents" if incidents > 1 else ""
        return f"{figures['endpoint']} is unhealthy: {wrong} open finding{'s' * (wrong > 1)}{several}"
    return f"{figures['endpoint']} is {'unknown' if _blind(figures) or not figures['monitors'] else 'healthy'}"


def _open(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return worst_first(f for f in figures["findings"] if f["closed_at"] is None)


def _blind(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The monitors that can't say anything, and why."""
    return [(m["monitor"], m["why"]) for m in figures["monitors"] if m["health"] == "unknown"]


def _to_do(figures: Mapping[str, Any]) -> str:
    wrong, blind = _open(figures), _blind(figures)
    if wrong:
        return by_incident(wrong)
    if not figures["monitors"]:
        return unknown("Nothing is watched.", [("no monitor", "declare one, and release a model: noria replay, or noria train")])
    if blind:
        return unknown(f"No open findings, but {len(blind)} of {len(figures['monitors'])} monitors are unknown:", blind)
    names = ", ".join(m["monitor"] for m in figures["monitors"])
    return healthy("No open findings.", f"Looked at: {names}.")


def _moved(figures: Mapping[str, Any]) -> list[str]:
    """What is measured over time, that with the strongest evidence first."""
    found = [(_nearness(one["evidence"], one["threshold"]), _performance(one)) for one in figures["performance"]]
    drift = figures["drift"]
    found.append((0.0 if drift is None else _nearness(drift["pooled"], drift["threshold"]), render_inputs(drift)))
    return [section for _, section in sorted(found, key=lambda each: -each[0])]


def _nearness(evidence: Sequence[float], threshold: float) -> float:
    return evidence[-1] / threshold if len(evidence) else 0.0


def _monitors(monitors: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        ((m["health"], f"tag {m['health']}"), escape(m["monitor"]), (escape(said(m)), "dim"))
        for m in sorted(monitors, key=lambda m: STATES.index(m["health"]))
    )
    return "<h2>Monitors</h2>" + table(("", "", ""), rows, stacked=True) if monitors else ""


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p class='dim'>None so far.</p>"
    newest = list(reversed(findings))
    more = f"<p class='dim'>{len(newest) - MAX_FINDINGS} older ones: <code>noria findings list --all</code></p>" * (
        len(newest) > MAX_FINDINGS
    )
    return "<h2>All findings, newest first</h2>" + findings_table(newest[:MAX_FINDINGS], day, still_open="<b>open</b>") + more


def _performance(one: Mapping[str, Any]) -> str:
    title = f"<h2>{escape(one['title'])}</h2>"
    if not one["values"]:
        return f"{title}<p class='dim'>{one['waiting']} windows are waiting for outcomes; none has them yet.</p>"
    groups = places(len(one["values"]), MAX_MOMENTS)
    starts, evidence = firsts(one["starts"], groups), greatest(one["evidence"], groups)
    lines = [Line("each window", "loop", means(one["values"], groups)), Line("baseline", "static", one["baseline"])]
    lines += [Line("tolerated", "bad", bound) for bound in one["tolerated"]]
    over = next((start for start, value in zip(starts, evidence, strict=True) if value >= one["threshold"]), None)
    marks = [] if over is None else [Mark(seconds(over), "bad", f"{day(over)}: the evidence reached the threshold", "alarm")]
    waiting = f" {one['waiting']} newer windows are waiting for outcomes." if one["waiting"] else ""
    told = f"Per window, once its outcomes are due.{together(groups)}{waiting} {_mean(one['interval'])}"
    return f"{title}<p class='dim'>{told}</p>" + line_chart(lines, starts, marks=marks, unit=one.get("unit", ""))


def _mean(interval: Mapping[str, float] | None) -> str:
    """A mean with its confidence sequence, in words."""
    if interval is None:
        return ""
    between = f"between {interval['lower']:.4f} and {interval['upper']:.4f}"
    return f"The mean since the champion went live is {interval['mean']:.4f}: {between} (90 % confidence sequence)."


def render_early(early: Sequence[Mapping[str, Any]]) -> str:
    """The section of windows with partial outcomes; empty where there are none."""
    if not early:
        return ""
    rows = (
        (
            (day(e["start"]), "day"),
            escape(e["metric"]),
            f"{1 - e['missing']:.0%}",
            _figure(e["value"]),
            _figure(e["plain"]),
            f"{e['least']:.4f} to {e['most']:.4f}",
        )
        for e in early
    )
    return (
        "<h2>Windows with partial outcomes</h2>"
        "<p class='dim'>They are evaluated when their outcomes are due. Until then: an estimate that weights early outcomes by how early "
        "such outcomes usually arrive, the plain mean of those known, and the bounds on the final value, whatever the others are.</p>"
        + table(("window", "metric", "known", "estimate", "mean of known", "bounds"), rows)
    )


def _slices(slices: Sequence[Mapping[str, Any]]) -> str:
    if not slices:
        return ""
    rows = []
    for s in sorted(slices, key=lambda s: -s["evidence"] / s["threshold"])[:MAX_SLICES]:
        state = "unhealthy" if s["evidence"] >= s["threshold"] else "healthy"
        between = "—" if s["interval"] is None else f"{s['interval']['lower']:.4f} to {s['interval']['upper']:.4f}"
        figures = (f"{s['baseline']:.4f}", f"{s['recent']:.4f}", f"{s['recent'] - s['baseline']:+.4f}", between)
        rows.append(((state, f"tag {state}"), escape(s["slice"]), escape(s["metric"]), *figures))
    return (
        "<h2>By slice</h2><p class='dim'>Each slice against its baseline: the mean of the last seven windows whose outcomes "
        "are due, and a 90 % confidence sequence for the mean since the champion went live.</p>"
        + table(("", "slice", "metric", "baseline", "now", "difference", "mean (90 %)"), rows)
    )


def _volume(volume: Mapping[str, Any]) -> str:
    if not volume["rows"]:
        return ""
    groups = places(len(volume["rows"]), MAX_MOMENTS)
    lines = [Line("rows", "loop", means(volume["rows"], groups))]
    title = f"<h2>Predictions in each window</h2><p class='dim'>{together(groups).strip()}</p>"
    return title + line_chart(lines, firsts(volume["starts"], groups), height=180)


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
