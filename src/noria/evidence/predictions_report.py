"""The report of a table of predictions: one self-contained HTML page that begins with what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.charts import Mark, seconds
from noria.evidence.inputs import render_inputs
from noria.evidence.line_chart import Band, Line, line_chart
from noria.evidence.monitor_report import render_early
from noria.evidence.page import page
from noria.evidence.predictions_figures import headline, unknown_parts
from noria.evidence.problems import said
from noria.evidence.tables import day, findings_table, minute, table
from noria.evidence.thinned import firsts, mean_bounds, means, places, together
from noria.evidence.to_do import by_fix, healthy, unknown

MAX_PLACES = 160  # windows of a chart; of more, neighbours are shown together
MAP_ROWS, MAP_PLACES, BEFORE_AND_AFTER = 14, 45, 4
DETAILED = 4  # models that are shown in full, those with findings first
MAX_FINDINGS = 60
MAX_NOTES, MAX_PARTIAL = 30, 28


def render_predictions_report(figures: Mapping[str, Any]) -> str:
    """The whole page, from the figures of `JudgedPredictions`."""
    models = sorted(figures["models"], key=lambda m: (-m["wrong_now"], m["model"] or ""))
    shown = models[:DETAILED]
    sections = [_to_do(figures, models), _overview(figures, models)]
    for model in shown:
        sections += _model(model, len(shown))
    return page(f"{figures['table']}: predictions", _heading(figures), _told(figures), sections)


def _told(figures: Mapping[str, Any]) -> str:
    first = figures["models"][0]
    rows = sum(m["rows"] for m in figures["models"])
    models = f"{len(figures['models'])} models · " if first["model"] is not None else ""
    return (
        f"{models}{rows:,} predictions · {first['task']['title']} · windows of {first['every']}, the first "
        f"{first['reference']['windows']} (from {day(first['reference']['since'])}) are the reference · "
        f"at most {figures['false_alarms_per_year']:g} false alarms a year, over everything on this page"
    )


def _heading(figures: Mapping[str, Any]) -> str:
    """How the predictions are, above what is told in full."""
    wrong = len(_wrong(figures["models"]))
    return f"{figures['table']} is unhealthy: {wrong} ongoing finding{'s' * (wrong > 1)}" if wrong else headline(figures)


def _wrong(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**f, "model": m["model"]} for m in models for f in m["findings"] if f["over"] is None]


def _to_do(figures: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong and what to do about it."""
    wrong, blind = _wrong(models), unknown_parts(figures)
    if wrong:
        return by_fix(wrong)
    if blind:
        return unknown("Nothing is known to be wrong. Some things are unknown:", blind)
    return healthy("Nothing is wrong in the newest window.", f"Looked at: {', '.join(s['monitor'] for s in models[0]['states'])}.")


def _overview(figures: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    """Of several models, how each is."""
    if len(models) < 2 and not figures["not_judged"]:
        return ""
    rows = []
    for m in models:
        unknown = sum(s["health"] == "unknown" for s in m["states"])
        state = "unhealthy" if m["wrong_now"] else "unknown" if unknown else "healthy"
        first = m["performance"][0] if m["performance"] else None
        now = "—" if first is None or first["recent"] is None else f"{first['title']} {first['recent']:.4g} (was {first['baseline']:.4g})"
        rows.append(((state, f"tag {state}"), escape(str(m["model"])), f"{m['rows']:,}", now, str(m["wrong_now"])))
    rows += [(("unknown", "tag unknown"), escape(name), "", escape(why), "") for name, why in figures["not_judged"].items()]
    return "<h2>Models</h2>" + table(("", "model", "rows", "performance, newest windows", "findings"), rows)


def _model(model: Mapping[str, Any], models: int) -> Iterator[str]:
    """The sections of one model. models: on this page"""
    if model["model"] is not None:
        yield f"<h1 style='margin-top:40px'>{escape(str(model['model']))}</h1>"
    most = max(40, MAX_PLACES // models)
    whole = [one for one in model["performance"] if not one["of_class"] and not one["slice"]]
    yield _table_of_metrics(model["performance"], model["outcomes"])
    for one in whole[: 4 if models < 3 else 1]:
        yield _performance(model, one, most)
    yield render_early(model["partial"][-MAX_PARTIAL:])
    charts = BEFORE_AND_AFTER if models < 3 else 0
    yield render_inputs(model["inputs"], moments=most, rows=MAP_ROWS // min(models, 2), cells=MAP_PLACES, charts=charts)
    yield _states(model["states"])
    yield _findings(model["findings"])
    yield _notes(model)


def _states(states: Sequence[Mapping[str, Any]]) -> str:
    rows = (((s["health"], f"tag {s['health']}"), escape(s["monitor"]), (escape(said(s)), "dim")) for s in states)
    return "<h2>Monitors</h2>" + table(("", "", ""), rows, stacked=True)


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p class='dim'>None.</p>"
    newest = [{**f, "opened_at": f["evidence"].get("alarmed", f["since"]), "closed_at": f["over"]} for f in reversed(findings)]
    newest.sort(key=lambda f: f["over"] is not None)
    more = f"<p class='dim'>{len(newest) - MAX_FINDINGS} older ones are left out here.</p>" if len(newest) > MAX_FINDINGS else ""
    return "<h2>Findings</h2>" + findings_table(newest[:MAX_FINDINGS], day, still_open="<b>ongoing</b>") + more


def _table_of_metrics(performance: Sequence[Mapping[str, Any]], outcomes: Mapping[str, Any]) -> str:
    """Each metric in the reference and since, with bounds that hold whenever one looks."""
    title = "<h2>Performance</h2>"
    if not performance:
        return f"{title}<p class='dim'>Unknown: {'no outcomes are known' if outcomes['column'] else 'no column of outcomes was named'}.</p>"
    rows = []
    for one in performance:
        state = "unknown" if one["recent"] is None else "unhealthy" if one["worse"] else "healthy"
        mean = "—" if one["mean"] is None else f"{one['mean']['mean']:.4g} ({one['mean']['lower']:.4g} to {one['mean']['upper']:.4g})"
        recent = "—" if one["recent"] is None else f"{one['recent']:.4g}"
        unit = f" ({one['unit']})" if one["unit"] else ""
        cells = (f"{one['baseline']:.4g}", f"{one['tolerance']:.3g}", recent, mean, str(one["judged"]))
        rows.append(((state, f"tag {state}"), escape(one["title"] + unit), *cells))
    told = (
        f"{outcomes['known']:,} of {outcomes['predictions']:,} predictions have an outcome; {escape(outcomes['rule'])}. The mean since the "
        "reference has bounds that hold with 90 % certainty however often you look (a confidence sequence over windows)."
    )
    headings = ("", "metric", "reference", "tolerance", "newest 7 windows", "mean since (90 %)", "windows")
    return f"{title}<p class='dim'>{told}</p>" + table(headings, rows)


def _performance(model: Mapping[str, Any], one: Mapping[str, Any], most: int) -> str:
    """A metric by window, with the interval that chance leaves, and the estimate where there is one."""
    groups = places(len(one["values"]), most)
    starts = firsts([window["start"] for window in model["windows"]], groups)
    estimated = model["estimated"] if model["estimated"] and model["estimated"]["metric"] == one["metric"] else None
    lines = [Line("estimated", "calendar", means(estimated["values"], groups))] if estimated else []
    lines += [Line("each window", "loop", means(one["values"], groups)), Line("reference", "static", one["baseline"])]
    lines += [Line("tolerated", "bad", bound) for bound in one["tolerated"]]
    band = Band("90 % interval", "loop", mean_bounds(one["values"], one["intervals"], groups))
    marks = [Mark(seconds(model["reference"]["until"]), "static", "the reference ends here", "end of reference")]
    marks += [
        Mark(seconds(f["since"]), "bad", f"{day(f['since'])}: {f['summary']}", "since")
        for f in model["findings"]
        if f["kind"] == "performance" and f["subject"] == one["metric"] and f["over"] is None
    ]
    shaded = " The band is the 90 % interval of each point." if any(each is not None for each in band.bounds) else ""
    blue = ""
    if estimated:
        blue = " Blue: estimated from the predictions alone" + ("." if estimated["reliable"] else ", which has not held so far.")
    return f"<h2>{escape(one['title'])}</h2><p class='dim'>By window.{shaded}{together(groups)}{blue}</p>" + line_chart(
        lines, starts, marks=marks, bands=[band], height=220, unit=one["unit"]
    )


def _notes(model: Mapping[str, Any]) -> str:
    """How it was judged, and what was not."""
    shares = ", ".join(f"{name} {share * model['false_alarms_per_year']:.2g}" for name, share in model["shares"].items())
    lines = [f"False alarms a year: {shares}.", f"Outcomes count up to {minute(model['outcomes']['as_of'])}."]
    if model["task"]["inferred"]:
        lines.append(f"The task was inferred from the columns: {model['task']['title']}.")
    notes = [*lines, *(f"{note[:1].upper()}{note[1:]}." for note in model["notes"][:MAX_NOTES])]
    more = len(model["notes"]) - MAX_NOTES
    notes += [f"{more} more are in the JSON output."] if more > 0 else []
    return "<h2>How it was judged</h2><ul class='dim'>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
