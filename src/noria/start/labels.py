"""Which column is to be predicted: by its name, its values and its place; never by a guess where two are alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from noria.start.facts import Facts
from noria.start.mistakes import FlagDoesNotFit, NoSuchColumn, TooLittleData, Undecided

CERTAIN = re.compile(r"^(label|labels|target|targets|outcome|y|response|ground_?truth|is_?fraud)$|[_\W](label|target|outcome)$")
CAME_ABOUT = re.compile(
    r"(^|[_\W])(churn(ed)?|fraud|default(ed)?|surviv(ed|al)|died|dead|alive|event|click(ed)?|convert(ed)?|conversion|returned|cancell?ed|late|approved|"
    r"denied|deny|spam|delayed|purchased|bought|admitted|readmitted|attrition|diagnosis)([_\W]|$)"
)
LIKELY = re.compile(
    r"(^|[_\W])(class|classes|income|salary|species|quality|rating|score|price|cost|sales|revenue|demand|count|sentiment|category|digit|"
    r"result|progression|yield|consumption|load|amount|delay)([_\W]|$)"
)
YES_NO = re.compile(r"^(is|has|was|did|will)_|^(is|has|was|did|will)[A-Z]")
PART_OF_A_DATE = re.compile(r"^(year|month|day|hour|minute|week|weekday|quarter|dow|doy)s?$")
IMAGE_FOLDERS = "class"
CLEARLY = 10  # points, by which the first has to lead
LAST, NAME_CERTAIN, NAME_CAME_ABOUT, NAME_LIKELY, NAME_YES_NO, CLASSES, NUMBER = 30, 100, 70, 50, 25, 10, 5


def choose_label(facts: Mapping[str, Facts], without: Collection[str], asked: str | None) -> tuple[str, str]:
    """The column to predict and why. Raises `Undecided` where none is likely or two are alike, and what is wrong with one that was asked
    for."""
    if asked is not None:
        return asked, _checked(facts[asked])
    possible = [f for f in facts.values() if f.name not in without and _possible(f)]
    if not possible:
        names = [f.name for f in facts.values() if f.name not in without][:8]
        raise Undecided(
            "no column looks like something to predict",
            f"columns: {', '.join(names) or 'none besides the key and the time'}",
            ["--label COLUMN"],
        )
    last = [f.name for f in facts.values() if f.name not in without and not f.constant][-1]
    ranked = sorted(possible, key=lambda f: -_points(f, last))
    first = ranked[0]
    if len(ranked) > 1 and _points(first, last) - _points(ranked[1], last) < CLEARLY:
        second = ranked[1]
        raise Undecided(
            f"{first.name!r} and {second.name!r} could both be what to predict",
            "neither its name nor its place singles one out",
            [f"--label {first.name}", f"--label {second.name}"],
        )
    if len(ranked) > 1 and _points(first, last) < LAST:
        raise Undecided("no column looks like something to predict", f"the likeliest is {first.name!r}", [f"--label {first.name}"])
    return first.name, _reason(first, last)


def require_columns(names: Collection[str], flag: str, facts: Mapping[str, Facts]) -> None:
    """Raise `NoSuchColumn` for a name that no column has."""
    for name in names:
        if name not in facts:
            raise NoSuchColumn(flag, name, list(facts))


def _checked(fact: Facts) -> str:
    flag = f"--label {fact.name}"
    if fact.known == 0:
        raise TooLittleData(what=f"{fact.name!r} has no value at all", where=flag, fix="name a column with outcomes: --label COLUMN")
    if fact.constant:
        shown = f": {fact.values[0]!r}" if fact.values else ""
        raise TooLittleData(
            what=f"{fact.name!r} has only one value{shown}", where=flag, fix="name a column with different outcomes: --label COLUMN"
        )
    if fact.kind in ("time", "bytes", "nested"):
        raise FlagDoesNotFit(
            what=f"{fact.name!r} can't be predicted: it holds {'times' if fact.kind == 'time' else 'neither numbers nor classes'}",
            where=flag,
            fix="name a column of numbers or classes, or derive one where the table is read",
        )
    return f"asked for by {flag}"


def _possible(fact: Facts) -> bool:
    if fact.constant or fact.prose or fact.identifies or fact.known < 0.2 * fact.rows:
        return False
    return fact.classes or fact.kind == "number"


def _points(fact: Facts, last: str) -> int:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", fact.name).lower()
    if PART_OF_A_DATE.search(name):
        return 0
    kinds = ((CERTAIN, NAME_CERTAIN), (CAME_ABOUT, NAME_CAME_ABOUT), (LIKELY, NAME_LIKELY))
    by_name = next((points for kind, points in kinds if kind.search(name)), 0)
    by_name = by_name or (NAME_YES_NO if YES_NO.search(fact.name) and fact.distinct == 2 else 0)
    return by_name + (LAST if fact.name == last else 0) + (CLASSES if fact.classes else NUMBER)


def _reason(fact: Facts, last: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", fact.name).lower()
    parts = ["its name"] if any(kind.search(name) for kind in (CERTAIN, CAME_ABOUT, LIKELY)) or YES_NO.search(fact.name) else []
    parts += ["it is the last column"] if fact.name == last else []
    parts += [f"it has {fact.distinct} values" if fact.classes else "it is a number"]
    return "by " + ", and ".join(parts) if parts[0] == "its name" else ", and ".join(parts)
