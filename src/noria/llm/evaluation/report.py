"""The report of an evaluation: one HTML page with the verdicts, the figures, the slices, and the worst answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from noria.evidence.page import page
from noria.evidence.tables import Cell, table
from noria.llm.evaluation.evaluated import Evaluated, Record
from noria.llm.evaluation.questions import Question

if TYPE_CHECKING:
    from noria.llm.evaluation.compare import Compared

SHOWN, MAX_TEXT, MAX_SOURCE, MAX_SLICES = 20, 1_500, 400, 40
TAG = {"passed": "healthy", "failed": "unhealthy", "unknown": "unknown"}


def render(compared: Compared) -> str:
    """The whole page."""
    comparison = compared.comparison
    after, before = comparison.after, comparison.before
    sections = [
        _verdicts(compared),
        _figures(before, after, _called(compared)),
        _judges(compared),
        _slices(before, after),
        _missing(before, after, _called(compared)),
        _worst(compared),
    ]
    reviewed = f", {after.questions.unreviewed:,} of them not reviewed" if after.questions.unreviewed else ""
    told = (
        f"{after.name}{f' against {before.name}' if before is not None else ''} · {len(after.questions):,} questions of the set "
        f"{after.questions.name} (version {after.questions.version[:12]}){reviewed}"
    )
    return page(_harmless(f"{after.name}: evaluation"), _harmless(headline(compared)), _harmless(told), sections)


def headline(compared: Compared) -> str:
    """What came out, in one sentence."""
    outcomes = [verdict.outcome for verdict in compared.verdicts]
    if not outcomes:
        called = _called(compared)
        return f"{'The ' if called in ('candidate', 'champion') else ''}{called} was measured by itself: no gate was asked."
    if compared.passed:
        return f"The candidate passed {'its gate' if len(outcomes) == 1 else f'all {len(outcomes)} gates'}."
    failed, unknown = outcomes.count("failed"), outcomes.count("unknown")
    if failed:
        return f"The candidate failed {failed} of {len(outcomes)} gates{f', and {unknown} are unknown' if unknown else ''}."
    return f"The candidate may not go live: {unknown} of {len(outcomes)} gates are unknown."


def _called(compared: Compared) -> str:
    """What was measured: a candidate, where there are gates or there is a champion; else by its name."""
    alone = not compared.verdicts and compared.comparison.before is None
    return compared.comparison.after.name if alone else "candidate"


def _verdicts(compared: Compared) -> str:
    if not compared.verdicts:
        return ""
    rows = [
        ((verdict.outcome, f"tag {TAG[verdict.outcome]}"), escape(verdict.gate), (_text(verdict.why), "dim"))
        for verdict in compared.verdicts
    ]
    return "<h2>Gates</h2>" + table(("verdict", "gate", "why"), rows, stacked=True)


def _figures(before: Evaluated | None, after: Evaluated, called: str) -> str:
    new, old = after.summary(), before.summary() if before is not None else {}
    rows = list[list[Cell]]()
    for name, of in new.items():
        champion = old.get(name)
        rows.append(
            [
                escape(str(of["title"])) + (f" <span class='dim'>({escape(of['unit'])})</span>" if of["unit"] else ""),
                (_number(of["mean"]), "n"),
                (_between(of), "n"),
                *_champion(before, champion),
                (f"{of['questions']:,}", "n"),
                (str(of["missing"] or ""), "n"),
                (_number(of["repeatability"]) if of["repeatability"] is not None else "", "n"),
            ]
        )
    beside = () if before is None else ("champion", "95 % interval")
    heads = ("metric", _text(called, 60), "95 % interval", *beside, "questions", "missing", "repeatability")
    said = "Intervals are by the bootstrap over questions; repeatability is the spread of one question’s values when it is asked again."
    return f"<h2>Figures</h2><p class='dim'>{said}</p>{table(heads, rows)}"


def _champion(before: Evaluated | None, of: Mapping[str, Any] | None) -> list[Cell]:
    """The champion's cells of a metric; none where there is no champion."""
    if before is None:
        return []
    return [(_number(of["mean"]) if of else "", "n"), (_between(of) if of else "", "n")]


def _judges(compared: Compared) -> str:
    judged = [metric for metric in compared.comparison.after.metrics.values() if metric.judge is not None]
    if not judged:
        return ""
    rows = list[list[Cell]]()
    for metric in judged:
        record, why = compared.comparison.record(metric)
        rows.append([escape(metric.name), _text(record.summary() if record is not None else why)])
    return "<h2>Judges</h2>" + table(("metric", "measured against people"), rows, stacked=True)


def _slices(before: Evaluated | None, after: Evaluated) -> str:
    """The mean of each slice, of the metrics that gates are most often on."""
    names = [name for name in ("correctness", "faithfulness", "support", "token_recall", "ndcg@10", "refusal") if name in after.metrics][:3]
    columns = sorted({column for question in after.questions for column in question.slices})
    rows = list[list[Cell]]()
    for column, value, count in _values(after, columns):
        cells: list[Cell] = [f"{escape(column)} = {_text(value, 80)}", (f"{count:,}", "n")]
        for name in names:
            cells.append((_number(_mean_of(after, name, column, value)), "n"))
            cells.append((_number(_mean_of(before, name, column, value)) if before is not None else "", "n"))
        rows.append(cells)
    if not rows or not names:
        return ""
    heads = ["slice", "questions", *(head for name in names for head in (escape(name), "champion"))]
    return "<h2>Slices</h2>" + table(heads, rows)


def _values(evaluated: Evaluated, columns: list[str]) -> Iterator[tuple[str, str, int]]:
    shown = 0
    for column in columns:
        counts = dict[str, int]()
        for question in evaluated.questions:
            if value := question.slices.get(column):
                counts[value] = counts.get(value, 0) + 1
        for value, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            if shown == MAX_SLICES:
                return
            shown += 1
            yield column, value, count


def _mean_of(evaluated: Evaluated, name: str, column: str, value: str) -> float | None:
    if name not in evaluated.metrics:
        return None
    of = evaluated.by_question(name)
    kept = [
        low
        for question, low, high in zip(of.questions, of.lowest, of.highest, strict=True)
        if question.slices.get(column) == value and low == high
    ]
    return sum(kept) / len(kept) if kept else None


def _missing(before: Evaluated | None, after: Evaluated, called: str) -> str:
    rows = list[list[Cell]]()
    for title, evaluated in ((_text(called, 60), after), ("champion", before)):
        for name in evaluated.metrics if evaluated is not None else ():
            for why, count in evaluated.missing_reasons(name).items() if evaluated is not None else ():
                rows.append([title, escape(name), _text(why, 200), (f"{count:,}", "n")])
    if not rows:
        return ""
    said = "What is missing is neither a loss nor a pass: a gate that it could change is unknown."
    return f"<h2>What is missing</h2><p class='dim'>{said}</p>{table(('of', 'metric', 'why', 'answers'), rows)}"


def _worst(compared: Compared) -> str:
    every = compared.worst(SHOWN)
    if not every:
        return ""
    called = _called(compared)
    parts = "".join(_side_by_side(*each, called) for each in every)
    said = f"The {len(every)} questions on which the {_text(called, 60)} lost most, the worst first."
    return f"<h2>The worst answers</h2><p class='dim'>{said}</p>{parts}"


def _side_by_side(question: Question, before: Record | None, after: Record, lost: Mapping[str, float], called: str) -> str:
    losses = ", ".join(f"{escape(name)} −{change:.2f}" for name, change in sorted(lost.items(), key=lambda pair: -pair[1])[:4])
    reference = f"<p class='dim'>Right answer: {_text(question.references[0])}</p>" if question.references else ""
    known = "<p class='dim'>It can’t be answered from the corpus.</p>" if question.unanswerable else reference
    sides = f"{_answer(_text(called.capitalize(), 60), after)}{_answer('Champion', before) if before is not None else ''}"
    return (
        f"<div class='todo {'unknown' if not lost else ''}'><p class='what'>{_text(question.question)}</p>{known}"
        f"<p class='dim'>{losses or 'nothing lost'}</p><div class='pair'>{sides}</div></div>"
    )


def _answer(title: str, record: Record) -> str:
    answered = record.answered
    said = f"<i>{_text(answered.error)}</i>" if answered.error else _text(answered.answer) or "<i>an empty answer</i>"
    notes = "".join(f"<p class='dim'>{escape(name)}: {_text(note, 300)}</p>" for name, note in record.notes.items() if note)
    texts, places = answered.text_of, dict(zip(answered.found, answered.found_places, strict=False))
    chosen = [*answered.cited, *(chunk for chunk in answered.found if chunk not in answered.cited)][:3]
    sources = "".join(
        f"<li><b>{_text(places.get(chunk) or chunk, 120)}</b>{' (cited)' if chunk in answered.cited else ''}: "
        f"{_text(texts.get(chunk, ''), MAX_SOURCE)}</li>"
        for chunk in chosen
    )
    listed = f"<details><summary class='dim'>sources</summary><ul>{sources}</ul></details>"
    return f"<figure><figcaption>{title}</figcaption><p>{said}</p>{notes}{listed}</figure>"


def _text(text: Any, most: int = MAX_TEXT) -> str:
    """A text that others wrote, as text: escaped, cut, and without addresses that a page could be taken to load."""
    short = str(text)[:most] + ("…" if len(str(text)) > most else "")
    return escape(_harmless(short))


def _harmless(text: str) -> str:
    """A text whose addresses are none: with a space of no width in them."""
    return text.replace("://", ":\u200b//")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"


def _between(of: Mapping[str, Any]) -> str:
    return "" if of["lower"] is None else f"{of['lower']:.3f} – {of['upper']:.3f}"
