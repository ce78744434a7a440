"""Edges: awkward inputs of every kind give the right value, are refused by name, or stand in quarantine with their text; none is
wrong, none is a traceback, no row is lost without a word. And random tables, awkward files, and what ingestion costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmarks.edges import awkward, large, properties, speed
from benchmarks.edges.inputs import Input, Judged, Verdict, judge
from benchmarks.edges.kinds import KINDS, inputs_of
from benchmarks.figure import Figure, Proof

TABLES = 200
SHOWN = 5  # of the inputs of a kind that go wrong


def prove() -> Proof:
    yield from kinds()
    yield from random_tables()
    yield from files()
    yield from speed.prove()
    yield from large.prove()


def kinds() -> Proof:
    """One line a kind: how many inputs there are, and what came of them."""
    total: Counter[Verdict] = Counter()
    for kind in KINDS:
        judged = [judge(tried) for tried in inputs_of(kind)]
        found = Counter(j.verdict for j in judged)
        total += found
        yield f"# {kind}: {_in_words(found)}"
        yield from _bad(judged)
    yield Figure("inputs_tried", total.total(), f"of {len(KINDS)} kinds", ">=", 300)
    yield Figure("wrong_values", total[Verdict.WRONG], "", "=", 0)
    yield Figure("tracebacks", total[Verdict.TRACEBACK], "", "=", 0)
    yield Figure("silently_lost_rows", total[Verdict.LOST], "inputs", "=", 0)


def _in_words(found: Counter[Verdict]) -> str:
    listed = [f"{found[verdict]} {verdict}" for verdict in Verdict if found[verdict]]
    return f"{found.total()} inputs, {', '.join(listed)}"


def _bad(judged: Iterable[Judged]) -> list[str]:
    return [f"#   {j}" for j in judged if not j.verdict.good][:SHOWN]


def random_tables() -> Proof:
    wrong = 0
    for seed in range(TABLES):
        found = _checked(seed)
        wrong += bool(found)
        if found and wrong <= SHOWN:
            yield f"#   random table {seed}: {found[0]}"
    yield Figure("random_tables", TABLES, "ingested twice, read, joined, materialized, looked up", ">=", 200)
    yield Figure("random_tables_wrong", wrong, "", "=", 0)


def _checked(seed: int) -> list[str]:
    try:
        return properties.check(seed)
    except Exception as error:  # whatever it is, it is wrong  # noqa: BLE001
        return [f"{type(error).__name__}: {error}"]


def files() -> Proof:
    tried: list[Input] = list(awkward.inputs())
    judged = [judge(each) for each in tried]
    yield f"# {awkward.KIND}: {_in_words(Counter(j.verdict for j in judged))}"
    yield from _bad(judged)
    yield Figure("awkward_files", len(judged), "", ">=", 10)
    yield Figure("awkward_files_wrong", sum(not j.verdict.good for j in judged), "", "=", 0)
