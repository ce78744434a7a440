"""The report of an endpoint's monitors: one self-contained HTML page, to be read at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.charts import Line, Mark, line_chart
from noria.evidence.inputs import render_inputs
from noria.evidence.page import page
from noria.evidence.tables import day, findings_table, minute, short_day, table

WORDS = {"healthy": "healthy", "unhealthy": "unhealthy", "unknown": "unknown"}


def render_monitor_report(project: str, figures: Mapping[str, Any]) -> str:
    """The whole page, from `monitor_figures`."""
    if figures["champion"] is None:
        told = "no champion yet"
    else:
        told = f"champion {figures['champion'][:12]} since {day(figures['since'])} · as of {minute(figures['at'])}"
    sections = [
        _monitors(figures["monitors"]),
        _findings(figures["findings"]),
        render_inputs(figures["drift"]),
        *(_performance(one) for one in figures["performance"]),
        _early(figures["early"]),
        _slices(figures["slices"]),
        _volume(figures["volume"]),
    ]
    return page(f"{figures['endpoint']}: monitors", headline(figures), f"{project} · {told}", sections)


def headline(figures: Mapping[str, Any]) -> str:
    """How the endpoint is, in one sentence."""
    endpoint = figures["endpoint"]
    open_now = [f for f in figures["findings"] if f["closed_at"] is None]
    blind = [m for m in figures["monitors"] if m["health"] == "unknown"]
    if open_now:
        return f"{endpoint}: {open_now[-1]['summary']}" + (f" (and {len(open_now) - 1} more)" if len(open_now) > 1 else "")
    if blind or not figures["monitors"]:
        return f"{endpoint}: unknown; " + (f"{blind[0]['monitor']}: {blind[0]['why']}" if blind else "it has no monitor")
    return f"{endpoint} is healthy: {len(figures['monitors'])} monitors, no open findings"


def _monitors(monitors: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f'<tr><td class="tag {m["health"]}">{WORDS[m["health"]]}</td><td>{escape(m["monitor"])}</td>'
        f'<td class="dim">{escape(_why(m))}</td></tr>'
        for m in monitors
    ]
    return f"<h2>Monitors</h2><table>{''.join(rows)}</table>" if rows else ""


def _why(monitor: Mapping[str, Any]) -> str:
    if monitor["health"] == "healthy":
        return ", ".join(f"{name} {value:,.4g}" for name, value in monitor["evidence"].items())
    return str(monitor.get("cause") or monitor.get("why"))


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p class='dim'>None so far.</p>"
    return "<h2>Findings, newest first</h2>" + findings_table(reversed(findings), day, still_open="<b>open</b>")


def _performance(one: Mapping[str, Any]) -> str:
    title = f"<h2>{escape(one['title'])}</h2>"
    if not one["values"]:
        return f"{title}<p class='dim'>{one['waiting']} windows are waiting for outcomes; none has them yet.</p>"
    labels = [short_day(s) for s in one["starts"]]
    lines = [
        Line("each window", "loop", one["values"]),
        Line("baseline", "static", [one["baseline"]] * len(labels)),
    ]
    lines += [Line("tolerated", "bad", [bound] * len(labels)) for bound in one["tolerated"]]
    over = next((i for i, value in enumerate(one["evidence"]) if value >= one["threshold"]), None)
    marks = [] if over is None else [Mark(over / max(len(labels) - 1, 1), "refuse", "the evidence reached the threshold", "alarm")]
    waiting = f" {one['waiting']} newer windows are waiting for outcomes." if one["waiting"] else ""
    told = f"Per window, once its outcomes are due.{waiting} {_mean(one['interval'])}"
    return f"{title}<p class='dim'>{told}</p>" + line_chart(lines, labels, marks=marks)


def _mean(interval: Mapping[str, float] | None) -> str:
    """A mean with its confidence sequence, in words."""
    if interval is None:
        return ""
    between = f"between {interval['lower']:.4f} and {interval['upper']:.4f}"
    return f"The mean since the champion went live is {interval['mean']:.4f}: {between} (90 % confidence sequence)."


def _early(early: Sequence[Mapping[str, Any]]) -> str:
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
    for s in sorted(slices, key=lambda s: -s["evidence"]):
        state = "unhealthy" if s["evidence"] >= s["threshold"] else "healthy"
        between = "—" if s["interval"] is None else f"{s['interval']['lower']:.4f} to {s['interval']['upper']:.4f}"
        figures = (f"{s['baseline']:.4f}", f"{s['recent']:.4f}", f"{s['recent'] - s['baseline']:+.4f}", between)
        rows.append(((WORDS[state], f"tag {state}"), escape(s["slice"]), escape(s["metric"]), *figures))
    return (
        "<h2>By slice</h2><p class='dim'>Each slice against its baseline: the mean of the last seven windows whose outcomes "
        "are due, and a 90 % confidence sequence for the mean since the champion went live.</p>"
        + table(("", "slice", "metric", "baseline", "now", "difference", "mean (90 %)"), rows)
    )


def _volume(volume: Mapping[str, Any]) -> str:
    if not volume["rows"]:
        return ""
    labels = [short_day(s) for s in volume["starts"]]
    return "<h2>Predictions in each window</h2>" + line_chart([Line("rows", "loop", volume["rows"])], labels, height=180)


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
