"""The page of one window, or of one incident: what was wrong, who was told and what came of it, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.inputs import render_inputs
from noria.evidence.page import page
from noria.evidence.tables import day, findings_table, minute, table

TAGS = {"found": "refuse", "over": "promote", "not told": "refuse"}


def render_window(project: str, figures: Mapping[str, Any]) -> str:
    """The page of a window, from `window_figures`."""
    told = f"{project} · {_about(figures)}"
    return page(f"{figures['endpoint']}: window", window_headline(figures), told, [*_window(figures), _findings(figures)])


def render_incident(project: str, figures: Mapping[str, Any]) -> str:
    """The page of an incident, from `incident_figures`."""
    window, told = figures["window"], f"{project} · {figures['endpoint']} · incident {figures['incident']}"
    sections = [_timeline(figures["timeline"])]
    if window is not None:
        sections += [f"<h2>The window of the finding</h2><p class='dim'>{escape(_about(window))}</p>", *_window(window)]
    return page(f"{figures['endpoint']}: incident", incident_headline(figures), told, sections)


def window_headline(figures: Mapping[str, Any]) -> str:
    """What was wrong in a window, in one sentence."""
    name = f"{figures['endpoint']}, {minute(figures['start'])}"
    told = {f["subject"] for f in figures["findings"]}
    wrong = [f["summary"] for f in (*figures["findings"], *(f for f in figures["faults"] if f["subject"] not in told))]
    if wrong:
        return f"{name}: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
    if figures["inputs"] is None:
        return f"{name}: unknown; its inputs were not evaluated"
    return f"{name}: no findings"


def incident_headline(figures: Mapping[str, Any]) -> str:
    """What an incident was, and whether it is over, in one sentence."""
    findings = figures["findings"]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    over = figures["over_at"]
    return f"{findings[0]['summary']}{more}: " + ("ongoing" if over is None else f"resolved at {minute(over)}")


def _about(figures: Mapping[str, Any]) -> str:
    stranger = "" if figures["released"] else ", which was never released"
    return f"{figures['every']} from {minute(figures['start'])} · champion {figures['champion'][:12]}{stranger} · {figures['rows']:,} rows"


def _window(figures: Mapping[str, Any]) -> list[str]:
    faults = "".join(f"<li>{escape(fault['summary'])}</li>" for fault in figures["faults"])
    return [
        f"<h2>Faults</h2><ul>{faults}</ul>" if faults else "",
        _traffic(figures["traffic"]),
        _performance(figures["performance"]),
        render_inputs(figures["inputs"]),
    ]


def _traffic(traffic: Mapping[str, Any] | None) -> str:
    if traffic is None:
        return ""
    counts = [
        ("answered", traffic["rows"]),
        ("duplicate requests", traffic["repeated"]),
        ("answered late", traffic["slow"]),
        ("answered by a fallback", traffic.get("fallbacks", 0)),
        ("not answered", traffic.get("failed", 0)),
        *((f"answered from stale rows of {name}", rows) for name, rows in traffic.get("stale", {}).items()),
    ]
    rows = ((escape(name), "unknown" if count is None else f"{count:,}") for name, count in counts)
    return "<h2>Traffic</h2>" + table(("", "rows"), rows)


def _performance(performance: Sequence[Mapping[str, Any]]) -> str:
    if not performance:
        return ""
    rows = (
        (
            escape(p["metric"]),
            "its outcomes are not due yet, or have not arrived" if p["value"] is None else f"{p['value']:.4f}",
            "—" if p["baseline"] is None else f"{p['baseline']:.4f}",
            "—" if p["baseline"] is None else _tolerated(p),
            "—" if p["missing"] is None else f"{p['rows']:,} of {p['rows'] + p['missing']:,}",
        )
        for p in performance
    )
    return "<h2>Performance</h2>" + table(("metric", "this window", "baseline", "tolerated", "outcomes"), rows)


def _tolerated(one: Mapping[str, Any]) -> str:
    return " to ".join(f"{bound:.4f}" for bound in one["tolerated"])


def _findings(figures: Mapping[str, Any]) -> str:
    if not figures["findings"]:
        return "<h2>Findings</h2><p class='dim'>None was open.</p>"
    return "<h2>Findings that were open</h2>" + findings_table(figures["findings"], day, still_open="<b>open</b>")


def _timeline(timeline: Sequence[Mapping[str, str]]) -> str:
    rows = (((minute(t["at"]), "day"), (escape(t["what"]), f"day tag {TAGS.get(t['what'], '')}"), escape(t["summary"])) for t in timeline)
    return "<h2>Timeline</h2>" + table(("when", "", "what"), rows)
