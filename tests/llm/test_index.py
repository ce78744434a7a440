"""The embedded index, in what it alone does: folders that are damaged, writers that are killed. The rest: `stores/test_conformance.py`."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from indexes import chunk, chunks_of, unit
from noria.llm.index import BadIndex, LanceIndex, LanceStore, write_lance
from servers import soon


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="build it again"):
        LanceIndex(tmp_path / "nothing")
    write_lance(tmp_path / "one", chunks_of(["a cat"]), unit(1))
    for path in (tmp_path / "one").rglob("*.lance"):
        path.rename(path.with_suffix(".gone"))
    with pytest.raises(BadIndex):
        LanceIndex(tmp_path / "one").search(unit(1)[0], 1)
    (tmp_path / "one" / "index.json").write_text("[]")
    with pytest.raises(BadIndex):
        LanceIndex(tmp_path / "one")


def test_an_index_is_never_written_over(tmp_path: Path) -> None:
    write_lance(tmp_path / "one", chunks_of(["a cat"]), unit(1))
    with pytest.raises(FileExistsError):
        write_lance(tmp_path / "one", [], np.zeros((0, 8), np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_a_dead_writer_left_is_removed_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".two.dead", 2), (".two.alive", 0)):
        (tmp_path / name).mkdir()
        moment = (tmp_path / name).stat().st_mtime - age * 86_400
        os.utime(tmp_path / name, (moment, moment))
    LanceStore(tmp_path).write("two", chunks_of(["a cat"]), unit(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".two.alive", "two"]


def test_an_index_of_before_has_no_digest_and_serves(tmp_path: Path) -> None:
    write_lance(tmp_path / "one", chunks_of(["a cat"]), unit(1))
    facts = json.loads((tmp_path / "one" / "index.json").read_text())
    del facts["digest"]
    (tmp_path / "one" / "index.json").write_text(json.dumps(facts))
    assert len(LanceIndex(tmp_path / "one").search(unit(1)[0], 1)) == 1


def _write_many(folder: str) -> None:
    for number in range(1_000):
        write_lance(Path(folder) / f"{number}", [chunk(n, f"version {number}") for n in range(200)], unit(200))


def test_a_writer_that_is_killed_leaves_whole_indexes_only(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_write_many, args=(str(tmp_path),))
    writer.start()
    soon(lambda: any(path.name.startswith(".1.") for path in tmp_path.iterdir()), 60)  # in the middle of the second
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    whole = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert whole
    for path in whole:
        found = LanceIndex(path).search(unit(1)[0], 400)
        assert [len(found), {hit.chunk.text for hit in found}] == [200, {f"version {path.name}"}]
