"""The page of one window, or of one incident: what was wrong, who was told and what came of it, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.inputs import render_inputs
from noria.evidence.page import page
from noria.evidence.problems import worst_first
from noria.evidence.tables import day, findings_table, minute, table
from noria.evidence.to_do import by_incident, healthy, unknown
from noria.monitoring.findings import and_more

TAGS = {"found": "refuse", "over": "promote", "not told": "refuse"}


def render_window(project: str, figures: Mapping[str, Any]) -> str:
    """The page of a window, from `window_figures`."""
    told = f"{project} · {_about(figures)}"
    heading = f"{figures['endpoint']}, {minute(figures['start'])}: {_count(figures['findings'])}"
    sections = [_to_do(figures), *_window(figures), _findings(figures)]
    return page(f"{figures['endpoint']}: window", heading, told, sections)


def render_incident(project: str, figures: Mapping[str, Any]) -> str:
    """The page of an incident, from `incident_figures`."""
    window, told = figures["window"], f"{project} · {figures['endpoint']} · incident {figures['incident']}"
    sections = [by_incident(figures["findings"]), _timeline(figures["timeline"])]
    if window is not None:
        sections += [f"<h2>The window of the finding</h2><p class='dim'>{escape(_about(window))}</p>", *_window(window)]
    over = "ongoing" if figures["over_at"] is None else f"resolved at {minute(figures['over_at'])}"
    heading = f"{figures['endpoint']}: an incident of {_count(figures['findings'])}, {over}"
    return page(f"{figures['endpoint']}: incident", heading, told, sections)


def _count(findings: Sequence[Mapping[str, Any]]) -> str:
    return f"{len(findings) or 'no'} finding{'s' * (len(findings) != 1)}"


def _to_do(figures: Mapping[str, Any]) -> str:
    if figures["findings"]:
        return by_incident(figures["findings"])
    if figures["faults"]:
        return ""  # which stand right below
    if figures["inputs"] is None:
        return unknown("No findings were open.", [("inputs", "they were not evaluated in this window")])
    return healthy("No findings were open.", f"{len(figures['inputs']['shift'])} inputs were evaluated.")


def window_headline(figures: Mapping[str, Any]) -> str:
    """What was wrong in a window, in one sentence."""
    name = f"{figures['endpoint']}, {minute(figures['start'])}"
    told = {f["subject"] for f in figures["findings"]}
    known = worst_first(figures["findings"])
    wrong = [f["summary"] for f in (*known, *(f for f in figures["faults"] if f["subject"] not in told))]
    if wrong:
        return f"{name}: {and_more(wrong)}"
    if figures["inputs"] is None:
        return f"{name}: unknown; its inputs were not evaluated"
    return f"{name}: no findings"


def incident_headline(figures: Mapping[str, Any]) -> str:
    """What an incident was, and whether it is over, in one sentence."""
    over, words = figures["over_at"], [str(f["summary"]) for f in worst_first(figures["findings"])]
    return f"{and_more(words)}: " + ("ongoing" if over is None else f"resolved at {minute(over)}")


def _about(figures: Mapping[str, Any]) -> str:
    stranger = "" if figures["released"] else ", which was never released"
    return f"{figures['every']} from {minute(figures['start'])} · champion {figures['champion'][:12]}{stranger} · {figures['rows']:,} rows"


def _window(figures: Mapping[str, Any]) -> list[str]:
    told = {f["summary"] for f in figures["findings"]}
    faults = "".join(f"<li>{escape(fault['summary'])}</li>" for fault in figures["faults"] if fault["summary"] not in told)
    return [
        f"<h2>Faults without a finding</h2><ul>{faults}</ul>" if faults else "",
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
            escape(p["title"]),
            _unknown(p) if p["value"] is None else f"{p['value']:.4f}",
            "—" if p["baseline"] is None else f"{p['baseline']:.4f}",
            "—" if p["baseline"] is None else _tolerated(p),
            "—" if p["missing"] is None else f"{p['rows']:,} of {p['rows'] + p['missing']:,}{_groups(p)}",
        )
        for p in performance
    )
    return "<h2>Performance</h2>" + table(("metric", "this window", "baseline", "tolerated", "outcomes"), rows)


def _unknown(one: Mapping[str, Any]) -> str:
    there, counted = one.get("groups") or (0, 0)
    return "nothing is relevant in any of its groups" if there > counted == 0 else "its outcomes are not due yet, or have not arrived"


def _groups(one: Mapping[str, Any]) -> str:
    if not one.get("groups"):
        return ""
    there, counted = one["groups"]
    return f", in {there:,} groups, of which {counted:,} count"


def _tolerated(one: Mapping[str, Any]) -> str:
    return " to ".join(f"{bound:.4f}" for bound in one["tolerated"])


def _findings(figures: Mapping[str, Any]) -> str:
    if not figures["findings"]:
        return "<h2>Findings</h2><p class='dim'>None was open.</p>"
    return "<h2>Findings that were open</h2>" + findings_table(figures["findings"], day, still_open="<b>open</b>")


def _timeline(timeline: Sequence[Mapping[str, str]]) -> str:
    rows = (((minute(t["at"]), "day"), (escape(t["what"]), f"day tag {TAGS.get(t['what'], '')}"), escape(t["summary"])) for t in timeline)
    return "<h2>Timeline</h2>" + table(("when", "", "what"), rows, stacked=True)
