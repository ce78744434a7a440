"""Mutation testing: plant one small change at a time in a copy of a file, and see whether the tests that mirror it notice.

    python -m benchmarks.mutants src/noria/statistics/confidence.py --sample 12 --seed 1

What is tested is a copy of `src` in a temporary folder, put before the tree on `PYTHONPATH`: the tree itself is never touched. The
tests are `tests/<room>/test_<file>.py` and what `--tests` adds. A survivor is a change that no test noticed: a test is missing, or the
change makes no difference (then say so where the code stands). Tests that take ten times as long as without a change count as
failed: the change made something endless.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.core.clock import Stopwatch

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
ALL_TESTS_SECONDS = 600.0


@dataclass(frozen=True)
class Mutant:
    """One change: where, from what to what, and the whole file with it."""

    line: int
    before: str
    after: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every change of a file's code, in the order of its lines. Annotations and texts are left alone."""
    tree = ast.parse(source)
    found = []
    for node in _code(tree):
        for changed in _changes(node):
            found.append(Mutant(node.lineno, _text(node), _text(changed), _with(tree, node, changed)))
    return sorted(found, key=lambda m: m.line)


def _code(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes that may change: not those within annotations."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if isinstance(child, ast.AST):
                yield from _code(child)


def _changes(node: ast.expr | ast.stmt) -> Iterator[ast.expr | ast.stmt]:
    """What may stand in a node's place."""
    match node:
        case ast.Compare(ops=[op]):
            for table in (COMPARISONS, TURNED):
                if type(op) in table:
                    yield _replaced(node, ops=[table[type(op)]()])
        case ast.BinOp(op=op, left=left) if type(op) in OPERATIONS and not _is_text(left):
            yield _replaced(node, op=OPERATIONS[type(op)]())
        case ast.BoolOp(op=op):
            yield _replaced(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield _replaced(node, value=not value)
        case ast.Constant(value=int(value)):
            yield _replaced(node, value=value + 1)
        case ast.Constant(value=float(value)):
            yield _replaced(node, value=value * 1.5 if value else 1.0)
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield _replaced(node, value=ast.Constant(None))
        case ast.IfExp(body=body, orelse=orelse):
            yield _replaced(node, body=orelse, orelse=body)


def _replaced(node: Any, **fields: object) -> Any:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:120]


def _with(tree: ast.Module, node: ast.AST, changed: ast.AST) -> str:
    """The file's source with a node changed."""

    class Swap(ast.NodeTransformer):
        def visit(self, visited: ast.AST) -> ast.AST:
            return changed if visited is node else self.generic_visit(copy.copy(visited))

        def generic_visit(self, visited: ast.AST) -> ast.AST:
            for name, value in ast.iter_fields(visited):
                if isinstance(value, list):
                    setattr(visited, name, [self.visit(v) if isinstance(v, ast.AST) else v for v in value])
                elif isinstance(value, ast.AST):
                    setattr(visited, name, self.visit(value))
            return visited

    return ast.unparse(ast.fix_missing_locations(Swap().visit(tree))) + "\n"


def mirroring(file: Path) -> list[str]:
    """The tests that mirror a file, by their paths."""
    inside = file.relative_to("src/noria")
    names = {Path("tests") / inside.parent / f"test_{inside.stem}.py", Path("tests") / inside.parts[0] / f"test_{inside.stem}.py"}
    names |= {Path("tests") / inside.parts[0] / f"test_{part}.py" for part in inside.parts[1:-1]}  # serving/log/kept.py: test_log.py
    return sorted(str(name) for name in names if name.exists())


class Trial:
    """A copy of `src`, in which a file may be changed and the tests run."""

    def __init__(self, folder: Path, file: Path, tests: list[str]) -> None:
        self._root, self._file, self._tests = folder, folder / file, tests
        shutil.copytree("src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))

    def passes(self, source: str, seconds: float) -> bool:
        """Whether every test passes with that source of the file."""
        self._file.write_text(source)
        paths = os.pathsep.join([str(self._root / "src"), str(Path.cwd())])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *self._tests]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode not in (0, 1, 2):  # 2: a file of tests could not be imported
            raise SystemExit(done.stdout.decode() + done.stderr.decode())
        return done.returncode == 0


def survivors(file: Path, tests: list[str], sample: int | None, seed: int) -> tuple[list[Mutant], list[Mutant]]:
    """The changes that were tried, and those that no test noticed."""
    source = file.read_text()
    tried = mutants(source)
    if sample is not None and sample < len(tried):
        tried = sorted(random.Random(seed).sample(tried, sample), key=lambda m: m.line)
    with tempfile.TemporaryDirectory() as folder:
        trial, watch = Trial(Path(folder), file, tests), Stopwatch()
        if not trial.passes(ast.unparse(ast.parse(source)), ALL_TESTS_SECONDS):
            raise SystemExit("the tests fail without any change")
        patience = 30 + 10 * watch.seconds
        return tried, [mutant for mutant in tried if trial.passes(mutant.source, patience)]


def main() -> None:
    """Print the survivors, and how many of how many there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="a file of src/noria")
    parser.add_argument("--tests", nargs="*", default=[], help="tests besides those that mirror the file")
    parser.add_argument("--sample", type=int, help="so many changes, drawn by the seed; all of them if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    tests = [*mirroring(asked.file), *asked.tests]
    if not tests:
        parser.error(f"no tests mirror {asked.file}; name some by --tests")
    tried, left = survivors(asked.file, tests, asked.sample, asked.seed)
    if asked.json:
        facts = [{name: value for name, value in asdict(m).items() if name != "source"} for m in left]
        print(json.dumps({"file": str(asked.file), "tests": tests, "tried": len(tried), "survivors": facts}))
        return
    for mutant in left:
        print(f"{asked.file}:{mutant.line}: survives: {mutant.before}  ->  {mutant.after}")
    print(f"{len(left)} of {len(tried)} survive {' '.join(tests)}")


if __name__ == "__main__":
    main()
