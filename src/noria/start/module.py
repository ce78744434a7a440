"""The module of a proposed project, as text: what a person would write and keep, with the reasons where they help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from noria.core.clock import in_words
from noria.start.choices import Proposal
from noria.start.trainers import trainer_of
from noria.start.writing import comment, heading, listing, mapping, text

ABOUT = {"binary": "yes or no", "multiclass": "one of several classes", "regression": "a number", "forecast": "the next values of a series"}
GIVEN_UP = 0.02  # of log-loss, or of the spread of numbers, by which a candidate may seem worse on the holdout
TOLERATED = 0.05


@dataclass(frozen=True)
class Origin:
    """Where a table's rows come from. call: the source as Python, without options; about, note: in words"""

    call: str
    arguments: tuple[str, ...]
    about: str
    types: Mapping[str, str] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def written(self) -> str:
        options = [f"types={text(dict(self.types))}"] if self.types else []
        options += [f"time_zones={text(dict(self.zones))}"] if self.zones else []
        return f"{self.call}({', '.join([*self.arguments, *options])})"


def module_of(proposal: Proposal, origin: Origin) -> str:
    """The module's text."""
    parts = [_head(proposal, origin), _tables(proposal, origin), _reads(proposal), _trained(proposal), _released(proposal)]
    return "\n".join(parts)


def settings_of(proposal: Proposal) -> str:
    """The text of `noria.toml`."""
    lines = ["[project]", f"name = {text(proposal.name)}", f"module = {text(module_name(proposal.name))}", ""]
    lines += ["[loop]", f'tick = "{proposal.tick}" # how often the loop looks, and how long a window of its monitors is', ""]
    half = proposal.time.start + proposal.time.span / 2
    lines += ["[replay]", f"start = {half:%Y-%m-%dT%H:00:00Z} # the first half is what the first model learns from"]
    lines += [f"end = {proposal.time.end:%Y-%m-%dT%H:00:00Z}"]
    return "\n".join(lines) + "\n"


def module_name(name: str) -> str:
    """A project's name as that of a module, which hides none of Python's own."""
    import keyword
    import re
    import sys

    found = re.sub(r"\W+", "_", name).strip("_").lower() or "project"
    found = f"p_{found}" if found[0].isdigit() else found
    taken = found in sys.stdlib_module_names or keyword.iskeyword(found) or found in ("numpy", "noria", "pandas", "sklearn", "pyarrow")
    return f"{found}_project" if taken else found


def _head(p: Proposal, origin: Origin) -> str:
    about = f'"""Predicts {p.label.column!r}, {ABOUT[p.task.name]}, from {origin.about}.'
    return f'{about}\n\nA first version, proposed by `noria init` from {p.rows:,} rows: change what you know better.\n"""\n\n{_imports(p)}'


def _imports(p: Proposal) -> str:
    """What the module imports: Python's own, others', Noria."""
    own = ["import io"] if p.inputs.image else []
    others = ["import numpy as np"] if p.inputs.image else []
    others += ["import pyarrow.compute as pc"] if p.inputs.texts or p.inputs.calendar else []
    others += trainer_of(p).imports
    groups = [group for group in (own, others, ["import noria as nr"]) if group]
    return "\n\n".join("\n".join(group) for group in groups) + "\n"


# --- data ---------------------------------------------------------------------------------------------------------------


def _tables(p: Proposal, origin: Origin) -> str:
    found = [heading("The data"), ""]
    found += [comment(f"Event time: {p.time.reason}."), comment(f"Key: {p.key.reason}.")]
    key = text(p.key.columns[0]) if len(p.key.columns) == 1 else text(p.key.columns)
    name = variable(p.name)
    source = origin.written()
    if origin.note:
        found += [comment(origin.note)]
    arguments = [text(p.name), "source" if p.label.known else source, f"key={key}", f"event_time={text(p.time.column)}"]
    if p.label.known:
        found += [f"source = {source}"]
    if p.inputs.pixels:
        found += [f"PIXELS = {listing(p.inputs.pixels)}"]
    contract = _contract(p)
    end = f"    contract={contract},\n" if contract else ""
    found += [f"{name} = nr.Table(\n" + "".join(f"    {argument},\n" for argument in arguments) + end + ")"]
    if p.label.known:
        found += [
            "",
            comment(f"The same rows as outcomes, which are known at {p.label.known!r}: nearly all within {in_words(p.label.after)}."),
            f"outcomes = nr.Table({text(p.name + '_outcomes')}, source, key={key}, event_time={text(p.label.known)})",
        ]
    return "\n".join([*found, "", ""])


def _contract(p: Proposal) -> str:
    c, lines = p.contract, []
    pixels = set(p.inputs.pixels)
    if c.not_null:
        plain = [name for name in c.not_null if name not in pixels]
        together = " + PIXELS" if pixels and pixels <= set(c.not_null) else ""
        lines.append(f"not_null={listing(plain, 8) if plain or not together else ''}{together if plain else together.removeprefix(' + ')},")
    ranges = {name: bounds for name, bounds in c.between.items() if name not in pixels}
    if pixels:
        high = max(bounds[1] for name, bounds in c.between.items() if name in pixels)
        every = f"dict.fromkeys(PIXELS, {text((0, high))})"
        lines.append(f"between={every if not ranges else f'{mapping(ranges, 8)} | {every}'},")
    elif ranges:
        lines.append(f"between={mapping(ranges, 8)},")
    if c.one_of:
        lines.append(f"one_of={_one_of({name: list(values) for name, values in c.one_of.items()})},")
    if not lines:
        return ""
    return "nr.Contract(\n" + "".join(f"        {line}\n" for line in lines) + "    )"


def _one_of(values: Mapping[str, Sequence[Any]]) -> str:
    inner = " " * 12
    return "\n".join(["{", *(f"{inner}{text(name)}: {listing(allowed, 12)}," for name, allowed in values.items()), " " * 8 + "}"])


# --- features -----------------------------------------------------------------------------------------------------------


def _reads(p: Proposal) -> str:
    found = [heading("What the model reads"), ""]
    if p.left_out:
        found += [comment("Left out:")]
        for one in p.left_out:
            found += [comment(f"- {one.column}{' (leakage suspect)' if one.suspect else ''}: {one.reason}")]
        found += [""]
    found += list(_series(p) if p.task.name == "forecast" else _row(p))
    return "\n".join([*found, ""])


def _row(p: Proposal) -> Iterator[str]:
    i = p.inputs
    groups = {"NUMBERS": list(i.numbers), "CATEGORIES": list(i.categories), "TEXTS": list(i.prose)}
    for name, columns in groups.items():
        if columns:
            yield f"{name} = {listing(columns)}"
    named = [name for name, columns in groups.items() if columns] + (["PIXELS"] if i.pixels else [])
    typed = [name for name in named if name in ("CATEGORIES", "TEXTS")]
    request = []
    if i.image:
        yield from _decoding(i.image)
        request.append("picture")
    if named:
        starred = ", ".join(f"*{name}" for name in named)
        types = f', types=dict.fromkeys({" + ".join(typed)}, "string")' if typed else ""
        if p.model is not None and set(p.model.types.values()) - {"string"}:
            yield f"TYPES = {mapping(dict(p.model.types))}"
            types = ", types=TYPES"
        parts = [f"{{name: rows[name] for name in {' + '.join(n for n in named if n not in typed)}}}"] if set(named) - set(typed) else []
        parts += [f'{{name: pc.fill_null(rows[name], "") for name in {" + ".join(typed)}}}'] if typed else []
        yield from ["", "", f"@nr.request_transform({starred}{types})", "def inputs(rows):"]
        yield f'    """What a row says itself{"; an unknown text is an empty one" if typed else ""}."""'
        yield f"    return {' | '.join(parts)}"
        request.append("inputs")
    if i.calendar:
        yield from _clock(p)
        request.append("calendar")
    yield from ["", "", f"features = nr.FeatureSet({text(p.name)}, spine={variable(p.name)}, request=[{', '.join(request)}])", ""]


def _decoding(image: str) -> Iterator[str]:
    yield from ["SIDE = 32  # pixels; each picture is scaled to a square of this size", "", ""]
    yield from [f'@nr.request_transform("picture", types={{"picture": "uint8[{32}, {32}]"}})', "def picture(rows):"]
    yield '    """The pixels, in shades of gray."""'
    yield "    from PIL import Image"
    yield ""
    yield "    def pixels(data):"
    yield '        return np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((SIDE, SIDE)))'
    yield ""
    yield f'    return {{"picture": [pixels(data.as_py()) for data in rows[{text(image)}]]}}'


def _clock(p: Proposal) -> Iterator[str]:
    column = text(p.time.column)
    parts = {"hour": f"pc.hour(rows[{column}])", "weekday": f"pc.day_of_week(rows[{column}])", "month": f"pc.month(rows[{column}])"}
    names = ", ".join(text(name) for name in p.inputs.calendar)
    written = ", ".join(f"{text(name)}: {parts[name]}" for name in p.inputs.calendar)
    yield from ["", "", f"@nr.request_transform({names})", "def calendar(rows):"]
    yield '    """By the clock of UTC: for another, convert with pc.local_timestamp first."""'
    yield f"    return {{{written}}}"


def _series(p: Proposal) -> Iterator[str]:
    assert p.task.step is not None
    entity = [name for name in p.key.columns if name != p.time.column]
    named = "()" if not entity else text(entity[0]) if len(entity) == 1 else text(tuple(entity))
    lags, means = lags_of(p.task.step, p.task.horizons)
    label, step = p.label.column, p.task.step
    yield comment(
        "Lags: the oldest value of a window that reaches so far back. Features see what was known at their time, so none can leak."
    )
    yield "recent = nr.FeatureView("
    yield f'    "recent",\n    {variable(p.name)},\n    entity={named},\n    latest=[{text(label)}],\n    ttl="{in_words(4 * step)}",'
    yield "    aggregate={"
    for name, window in lags.items():
        yield f'        {text(name)}: nr.first({text(label)}, window="{in_words(window)}"),'
    for name, window in means.items():
        yield f'        {text(name)}: nr.mean({text(label)}, window="{in_words(window)}"),'
    yield "    },\n)"
    request = ""
    if p.inputs.calendar:
        yield from _clock(p)
        request = ", request=[calendar]"
    yield from ["", "", f"features = nr.FeatureSet({text(p.name)}, spine={variable(p.name)}, views=[recent]{request})", ""]


def lags_of(step: timedelta, horizons: Sequence[timedelta]) -> tuple[dict[str, timedelta], dict[str, timedelta]]:
    """(lags, means): name → window. What was at the times that are forecast, a day and a week before, and how it has been lately."""
    day, week = timedelta(days=1), timedelta(days=7)
    seasons = [season for season in (day, week) if season > step and season % step == timedelta()] or [step * 4, step * 52]
    ago = sorted({season - horizon % season for season in seasons for horizon in horizons} | {step, 2 * step})
    lags = {f"ago_{in_words(a)}": a + step for a in ago if a > timedelta()}
    return lags, {f"mean_{in_words(w)}": w for w in sorted({step * 3, *seasons, seasons[-1] * 4})}


# --- training, release, monitoring --------------------------------------------------------------------------------------


def _trained(p: Proposal) -> str:
    first = trainer_of(p)
    found = [heading("How it is trained"), "", *([first.above] if first.above else []), comment(first.about)]
    table = "outcomes" if p.label.known else variable(p.name)
    label = [table, text(p.label.column)]
    if p.task.name == "binary" and p.task.positive not in (True, 1):
        label.append(f"positive={text(p.task.positive)}")
    matures = p.task.horizons[-1] + (p.task.step or timedelta()) if p.task.horizons else p.label.after
    if matures:
        label.append(f'matures="{in_words(matures)}"')
    found += [
        "model = nr.Model(",
        f"    {text(p.name)},",
        "    features,",
        f"    label=nr.Label({', '.join(label)}),",
        f"    trainer={first.value},",
    ]
    found += _task(p)
    found += [f'    holdout="{p.holdout}",', f"    gates=[nr.beats_champion({text(p.task.metric)}, by={-given_up(p):g})],"]
    found += ["    trust=True,  # what does not become ONNX is pickled here, by this project, and run by its own server", ")", ""]
    return "\n".join([*found, ""])


def _task(p: Proposal) -> list[str]:
    if p.task.name == "multiclass":
        return [f"    task=nr.Multiclass({text(p.task.classes)}),"]
    if p.task.name == "regression":
        return ["    task=nr.Regression(),"]
    if p.task.name == "forecast":
        return [f"    task=nr.Forecast(horizons={text(tuple(in_words(h) for h in p.task.horizons))}),"]
    return []


def _released(p: Proposal) -> str:
    metric = text(p.task.metric)
    found = [
        heading("How it is released, watched and renewed"),
        "",
        f'endpoint = nr.Endpoint({text(p.name)}, model, release=nr.Rollout(shadow="3d", at_most="14d", margin={given_up(p):g}))',
        "",
        f"nr.Monitor(endpoint, false_alarms_per_year=2, performance=[nr.Tolerance({metric}, by={tolerated(p):g})])",
        "",
        *([] if p.model is not None else ['nr.Retrain(model, when=[nr.regression(), nr.stale("90d")], cooldown="14d")', ""]),
    ]
    return "\n".join(found)


def given_up(p: Proposal) -> float:
    return GIVEN_UP if p.task.metric == "log_loss" else _two_digits(GIVEN_UP * p.task.spread)


def tolerated(p: Proposal) -> float:
    return TOLERATED if p.task.metric == "log_loss" else _two_digits(TOLERATED * p.task.spread)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}") if value else 0.01


def variable(name: str) -> str:
    """A table's name as that of a variable."""
    found = module_name(name)
    return (
        f"{found}_rows"
        if found
        in (
            "features",
            "model",
            "endpoint",
            "inputs",
            "calendar",
            "recent",
            "network",
            "picture",
            "outcomes",
            "source",
            "nr",
            "np",
            "pc",
            "io",
        )
        else found
    )
