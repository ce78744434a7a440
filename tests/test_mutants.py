"""The changes that mutation testing plants: each is one, each is code, and none is in what is no code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from benchmarks.mutants import mirroring, mutants

SOURCE = '''
"""A docstring with 1 < 2 in it."""


def f(a: int = 3, *, b: "x < y" = None) -> "a + b":
    """Returns a - b."""
    if a <= 2 and not b:
        return a + 1.5
    return None
'''


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a < b", [("a < b", "a <= b"), ("a < b", "a > b")]),
        ("a == b", [("a == b", "a != b")]),
        ("a - b", [("a - b", "a + b")]),
        ("a and b", [("a and b", "a or b")]),
        ("not a", [("not a", "a")]),
        ("-a", [("-a", "a")]),
        ("f(7)", [("7", "8")]),
        ("f(0.5)", [("0.5", "0.75")]),
        ("f(True)", [("True", "False")]),
        ("a if b else c", [("a if b else c", "c if b else a")]),
        ("'a' % b", []),
        ("f'{a}' + b", []),
        ("None", []),
    ],
)
def test_small_changes_are_planted_one_at_a_time(code: str, expected: list[tuple[str, str]]) -> None:
    assert changes(code) == expected


def test_every_change_is_code_that_differs_in_its_own_line_alone() -> None:
    found = mutants(SOURCE)
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    assert [(m.line, m.before) for m in found] == [
        (5, "3"),
        (7, "a <= 2 and (not b)"),
        (7, "a <= 2"),
        (7, "a <= 2"),
        (7, "2"),
        (7, "not b"),
        (8, "return a + 1.5"),
        (8, "a + 1.5"),
        (8, "1.5"),
    ]
    for mutant in found:
        lines = mutant.source.splitlines()
        assert sum(one != other for one, other in zip(lines, plain, strict=True)) == 1


def test_the_tests_of_a_file_are_found_by_its_place() -> None:
    assert mirroring(Path("src/noria/serving/batching/request_queue.py")) == ["tests/serving/test_request_queue.py"]
    assert mirroring(Path("src/noria/serving/log/seal.py")) == ["tests/serving/test_log.py", "tests/serving/test_seal.py"]
    assert mirroring(Path("src/noria/nowhere.py")) == []
