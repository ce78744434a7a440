"""Paths: the files that a pattern means, all of them and no others, here and behind a URL."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, moments, scratch

KIND = "paths"


def _line(name: str) -> str:
    return f"id,at\n{name},{Z}\n"


# A pattern, the files that are there, and the ids (each file's own name for itself) that it means.
PATTERNS: dict[str, tuple[str, dict[str, str], Any]] = {
    "a file": ("a.csv", {"a.csv": "a", "b.csv": "b"}, ["a"]),
    "a star": ("*.csv", {"a.csv": "a", "b.csv": "b", "c.tsv": "c"}, ["a", "b"]),
    "a folder": ("data", {"data/a.csv": "a", "data/deep/b.csv": "b", "c.csv": "c"}, ["a", "b"]),
    "a folder with a slash": ("data/", {"data/a.csv": "a"}, ["a"]),
    "a star for folders": ("*/part.csv", {"x/part.csv": "x", "y/part.csv": "y", "y/other.csv": "o"}, ["x", "y"]),
    "any depth": ("**/*.csv", {"a.csv": "a", "x/b.csv": "b", "x/y/c.csv": "c"}, any_of(["a", "b", "c"], ["b", "c"])),
    "partitions": ("day=*/*.csv", {"day=1/a.csv": "a", "day=2/a.csv": "b"}, ["a", "b"]),
    "a question mark": ("a?.csv", {"a1.csv": "a1", "a12.csv": "a12"}, ["a1"]),
    "a choice of letters": ("[ab].csv", {"a.csv": "a", "b.csv": "b", "c.csv": "c"}, ["a", "b"]),
    "a dot before": ("./a.csv", {"a.csv": "a"}, ["a"]),
    "a way up and down": ("x/../a.csv", {"a.csv": "a", "x/b.csv": "b"}, ["a"]),
    "blanks and umlauts": ("über alles/*.csv", {"über alles/ä b.csv": "ä"}, ["ä"]),
    "an apostrophe": ("it's/*.csv", {"it's/o'clock.csv": "q"}, ["q"]),
    "a hash and a percent sign": ("a#b/*.csv", {"a#b/c%20d.csv": "h"}, ["h"]),
    "an upper-case ending": ("*.CSV", {"a.CSV": "a"}, ["a"]),
    "nothing there": ("*.csv", {"a.txt": "a"}, refused("NR-201")),
    "an empty pattern of folders": ("none/*.csv", {"a.csv": "a"}, refused("NR-201")),
    "Spark's marks": ("out", {"out/part-0.csv": "a", "out/_SUCCESS": "", "out/.part-0.csv.crc": "x", "out/_committed_1": "y"}, ["a"]),
    "hidden files": ("*", {"a.csv": "a", ".hidden.csv": "h"}, ["a"]),
    "unfinished work": ("out/**/*.csv", {"out/b/a.csv": "a", "out/_temporary/0/b.csv": "b"}, ["a"]),
}

REMOTE = {"a star", "partitions", "Spark's marks"}  # that are quick enough to be tried behind a URL at each change
LOCAL_ONLY = {"a dot before", "a way up and down", "a folder with a slash", "a hash and a percent sign", "any depth"}


def _local(pattern: str, files: Mapping[str, str]) -> list[str]:
    trial = Trial(pattern)
    for path, name in files.items():
        trial.write(path, _line(name))
    trial.ingest()
    return sorted(row["id"] for row in trial.rows())


def _memory(pattern: str, files: Mapping[str, str]) -> list[str]:
    import fsspec

    bucket = scratch().name
    for path, name in files.items():
        with fsspec.filesystem("memory").open(f"/{bucket}/{path}", "w") as out:
            out.write(_line(name))
    trial = Trial(f"memory://{bucket}/{pattern}")
    trial.ingest()
    return sorted(row["id"] for row in trial.rows())


def _partitioned(*folders: str, own: bool = False) -> list[Any]:
    """The values of the column `p` that folders' names give to a file in each."""
    trial = Trial("out")
    for i, folder in enumerate(folders):
        columns = {"id": [i], "at": moments(1), **({"p": [100 + i]} if own else {})}
        trial.write(f"out/{folder}/a.parquet", pa.table(columns))
    trial.ingest()
    return [row.get("p") for row in sorted(trial.rows(), key=lambda row: row["id"])]


PARTITIONS: dict[str, tuple[Callable[[], Any], Any]] = {
    "whole numbers": (lambda: _partitioned("p=1", "p=2"), [1, 2]),
    "days": (lambda: _partitioned("p=2024-01-01", "p=2024-01-02"), [date(2024, 1, 1), date(2024, 1, 2)]),
    "texts": (lambda: _partitioned("p=de", "p=fr"), ["de", "fr"]),
    "leading zeros": (lambda: _partitioned("p=07", "p=08"), ["07", "08"]),
    "escaped texts": (lambda: _partitioned("p=a%2Fb", "p=c%20d"), ["a/b", "c d"]),
    "null": (lambda: _partitioned("p=1", "p=__HIVE_DEFAULT_PARTITION__"), [1, None]),
    "NA": (lambda: _partitioned("p=NA", "p=DE"), any_of(["NA", "DE"], [None, "DE"])),
    "a column that the files have": (lambda: _partitioned("p=1", "p=2", own=True), [100, 101]),
    "an equals sign in a value": (lambda: _partitioned("p=a=b", "p=c"), any_of(["a=b", "c"], [None, "c"])),
    "nested": (lambda: _partitioned("q=1/p=x", "q=2/p=y"), ["x", "y"]),
}


def _endings() -> list[str]:
    """Formats and compressions side by side."""
    trial = Trial("in")
    trial.write("in/a.csv", _line("a")).write("in/b.csv.gz", gzip.compress(_line("b").encode()))
    trial.write("in/c.jsonl", f'{{"id":"c","at":"{Z}"}}\n').write("in/d.ndjson.gz", gzip.compress(f'{{"id":"d","at":"{Z}"}}\n'.encode()))
    trial.write("in/e.parquet", pa.table({"id": ["e"], "at": moments(1)}))
    trial.write("in/f.tsv", _line("f").replace(",", "\t"))
    trial.ingest()
    return sorted(row["id"] for row in trial.rows())


def _unknown_ending() -> tuple[list[str], int]:
    trial = Trial("in").write("in/a.csv", _line("a")).write("in/b.xlsx", b"PK\x03\x04")
    done = trial.ingest()
    return [row["id"] for row in trial.rows()], len(done.unreadable)


def _absolute() -> list[str]:
    trial = Trial()
    trial.write("a.csv", _line("a"))
    return _ids(Trial(f"{trial.folder}/*.csv"))


def _brackets() -> list[str]:
    trial = Trial("a[1].csv").write("a[1].csv", _line("a"))
    return _ids(trial)


def _linked() -> list[str]:
    trial = Trial("*.csv")
    (trial.write("kept/a.dat", _line("a")).folder / "a.csv").symlink_to(trial.folder / "kept" / "a.dat")
    return _ids(trial)


def _dangling() -> list[str]:
    trial = Trial("*.csv").write("a.csv", _line("a"))
    (trial.folder / "b.csv").symlink_to(trial.folder / "nowhere")
    return _ids(trial)


def _ids(trial: Trial) -> list[str]:
    trial.ingest()
    return sorted(row["id"] for row in trial.rows())


def _changed() -> list[int]:
    """A file that grew is read again, and nothing of it twice."""
    trial = Trial("*.csv").write("a.csv", _line("a"))
    first = trial.ingest().balance.rows_out["stored"]
    second = trial.write("a.csv", _line("a") + f"b,{Z}\n").ingest().balance.rows_out["stored"]
    return [first, second, trial.ingest().balance.rows_in]


def _damaged_gzip() -> tuple[list[str], int]:
    trial = Trial("*").write("a.csv", _line("a")).write("b.csv.gz", gzip.compress(_line("b").encode() * 500)[:60])
    done = trial.ingest()
    return [row["id"] for row in trial.rows()], len(done.unreadable)


SINGLE: list[tuple[str, Callable[[], Any], Any]] = [
    ("formats side by side", _endings, ["a", "b", "c", "d", "e", "f"]),
    ("a file of another kind in a folder", _unknown_ending, (["a"], 0)),
    ("an absolute path", _absolute, ["a"]),
    ("brackets in a name", _brackets, ["a"]),
    ("a link", _linked, ["a"]),
    ("a link to nowhere", _dangling, ["a"]),
    ("a file that grew", _changed, [1, 1, 0]),
    ("a cut gzip", _damaged_gzip, (["a"], 1)),
    ("an address of an unknown kind", lambda: _ids(Trial("nope://x/*.csv")), refused("NR-001", "NR-101", "NR-207")),
]


def inputs() -> Iterator[Input]:
    for name, (pattern, files, right) in PATTERNS.items():
        yield Input(KIND, f"{name}: {pattern}", lambda pattern=pattern, files=files: _local(pattern, files), right)
        if name not in LOCAL_ONLY:
            yield Input(
                KIND,
                f"{name}: memory://…/{pattern}",
                lambda pattern=pattern, files=files: _memory(pattern, files),
                right,
                slow=name not in REMOTE,
            )
    for name, (run, right) in PARTITIONS.items():
        yield Input(KIND, f"partitions: {name}", run, right)
    for name, run, right in SINGLE:
        yield Input(KIND, name, run, right)
