"""The report of a table: what was found in it, since when, and how its columns have moved, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from noria.evidence.inputs import input_figures, render_inputs
from noria.evidence.page import page
from noria.evidence.problems import reasons, worst_first
from noria.evidence.tables import day, findings_table
from noria.evidence.to_do import by_fix, healthy, unknown
from noria.monitoring.findings import and_more
from noria.monitoring.misdated import written
from noria.monitoring.table import TableReading
from noria.monitoring.windowed_table import length

MAX_NOTES = 40


def table_figures(reading: TableReading) -> dict[str, Any]:
    """What is to be said of a table, as plain data."""
    first = reading.drift.starts[0] if reading.drift.starts else None
    return {
        "table": reading.name,
        "rows": reading.rows,
        "untimed": reading.untimed,
        "misdated": [
            {"rows": m.rows, "oldest": written(m.oldest), "newest": written(m.newest), "first_row": m.first_row, "summary": m.summary}
            for m in reading.misdated
        ],
        "waiting": reading.waiting,
        "every": length(reading.every),
        "reference": {"since": reading.since.isoformat(), "windows": reading.reference},
        "judged": {"since": None if first is None else first.isoformat(), "windows": len(reading.drift.starts)},
        "columns": list(reading.drift.columns),
        "left_out": list(reading.left_out),
        "unjudged": reading.unjudged,
        "parts": [start.isoformat() for start in reading.parts],
        "findings": [
            {
                "kind": f.kind,
                "subject": f.subject,
                "since": f.since.isoformat(),
                "severity": f.severity,
                "summary": f.summary,
                "fix": f.fix,
                **reasons(f.evidence),
                "over": f.evidence["over"],
                "evidence": {name: value for name, value in f.evidence.items() if name != "over"},
            }
            for f in reading.findings
        ],
        "wrong_now": len(reading.wrong_now),
        "inputs": input_figures(reading.drift, reading.profile, reading.values, "the reference", reading.labels),
    }


def headline(figures: Mapping[str, Any]) -> str:
    """How the table is, in one sentence."""
    name, wrong = figures["table"], _wrong(figures)
    if wrong:
        return f"{name}: {and_more([str(f['summary']) for f in wrong])}"
    if not figures["judged"]["windows"]:
        return f"{name}: unknown; no window after the reference has rows"
    over = sum(f["over"] is not None for f in figures["findings"])
    return f"{name} is healthy: no problems in the newest window" + (f"; {over} earlier findings are resolved" if over else "")


def _wrong(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return worst_first(f for f in figures["findings"] if f["over"] is None)


def _heading(figures: Mapping[str, Any]) -> str:
    """The same, above what is told in full."""
    wrong = len(_wrong(figures))
    return f"{figures['table']} is unhealthy: {wrong} ongoing finding{'s' * (wrong > 1)}" if wrong else headline(figures)


def _to_do(figures: Mapping[str, Any]) -> str:
    if figures["wrong_now"]:
        return by_fix(_wrong(figures))
    if not figures["judged"]["windows"]:
        return unknown("Nothing is known yet.", [(figures["table"], "no window after the reference has rows")])
    return healthy("Nothing is wrong in the newest window.", f"{len(figures['columns'])} columns were checked.")


def render_table_report(figures: Mapping[str, Any]) -> str:
    """The whole page, from `table_figures`."""
    reference, judged = figures["reference"], figures["judged"]
    told = (
        f"{figures['rows']:,} rows · {judged['windows']} windows of {figures['every']} against the {reference['windows']} from "
        f"{day(reference['since'])}"
    )
    unseen = [f"{figures['untimed']:,} rows have no timestamp"] if figures["untimed"] else []
    unseen += [f"{each['summary']}: excluded" for each in figures["misdated"]]
    unseen += [f"{figures['waiting']:,} rows wait until their window is complete"] if figures["waiting"] else []
    unseen += [f"not checked: {', '.join(figures['left_out'])}"] if figures["left_out"] else []
    unseen += [f"{name} {why}" for name, why in figures["unjudged"].items()]
    unseen += [f"the window of {day(start)} seems to be incomplete in the file: its rows are not counted" for start in figures["parts"]]
    left = "<h2>Not checked</h2><ul class='dim'>" + "".join(f"<li>{escape(each)}</li>" for each in unseen[:MAX_NOTES]) + "</ul>"
    sections = [_to_do(figures), render_inputs(figures["inputs"]), _findings(figures), left if unseen else ""]
    return page(figures["table"], _heading(figures), told, sections)


def _findings(figures: Mapping[str, Any]) -> str:
    if not figures["findings"]:
        return "<h2>Findings</h2><p class='dim'>None.</p>"
    rows = [{**f, "opened_at": f["since"], "closed_at": f["over"]} for f in reversed(figures["findings"])]
    return "<h2>Findings, newest first</h2>" + findings_table(rows, day, still_open="<b>ongoing</b>")
