"""The Python runtime: whatever a model does, it is told what it did, and the next one is asked."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noria.core.clock import Stopwatch
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.bundle import DamagedBundle
from noria.models.runtimes import open_runtime
from noria.models.runtimes.child import NotStarted
from noria.models.runtimes.port import AsyncRuntime, ModelFailed, RuntimeOptions
from noria.models.runtimes.python import ModelRestarting, PythonRuntime
from noria.models.runtimes.python_spec import NotTrusted, OtherVersions, PythonSpec, this_python
from python_bundles import NUMBERS, python_bundle
from servers import soon

OPTIONS = RuntimeOptions(trust=True, deadline_seconds=2.0, start_seconds=20.0)


def rows(*pairs: tuple[float, float]) -> Rows:
    return Rows.dense(NUMBERS.inputs, np.array(pairs, np.float32))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonRuntime]:
    model = open_runtime(python_bundle(tmp_path_factory.mktemp("bad")), OPTIONS)
    assert isinstance(model, PythonRuntime)
    model.answer(rows((7, 0)))
    yield model
    model.close()


KINDS = {
    101: r"ValueError: this row is bad \(mine.py, line 13\)",
    102: "it took longer than 2 s, and its process was stopped",
    103: "its process exited with code 3",
    104: "its process was killed by SIGSEGV",
    106: "it returned 1 values of prediction for 2 rows",
    108: "TypeError: it returned values of prediction that are not numbers",
    111: "TypeError: it returned None for prediction",
    112: "it returned score, and not prediction",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_model_does_is_a_failure_with_its_reason_and_the_next_call_is_answered(bad: PythonRuntime, kind: int) -> None:
    with pytest.raises(ModelFailed, match=KINDS[kind]):
        bad.answer(rows((1, kind), (2, 0)))
    assert bad.answer(rows((7, 0))).block.tolist() == [[7]]


def test_a_model_that_leaks_is_stopped_at_its_bound(tmp_path: Path) -> None:
    model = open_runtime(python_bundle(tmp_path), RuntimeOptions(trust=True, memory_gb=2.0, deadline_seconds=30))
    with pytest.raises(ModelFailed, match="MemoryError"):
        model.answer(rows((1, 109)))
    assert model.answer(rows((7, 0))).block.tolist() == [[7]]
    model.close()


LATE = """
import time

import numpy as np


def load(folder):
    seen = []

    def predict(columns):
        if not seen:
            time.sleep(1)
        seen.append(1)
        return np.array(columns["a"], float)

    return predict
"""


def test_what_is_loaded_late_counts_as_a_start_and_not_against_the_deadline(tmp_path: Path) -> None:
    model = open_runtime(python_bundle(tmp_path, LATE), RuntimeOptions(trust=True, deadline_seconds=0.3, start_seconds=20))
    assert model.answer(rows((7, 0))).block.tolist() == [[7]]
    assert model.answer(rows((8, 0))).block.tolist() == [[8]]
    model.close()


def test_what_a_model_prints_is_logged_and_counted_beyond_a_few_lines(bad: PythonRuntime, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "noria.model"):
        assert bad.answer(rows((5, 105))).block.tolist() == [[5]]
        soon(lambda: len(caplog.messages) >= 10)
    assert any('what a model prints {"type":"answered","size":0}' in message for message in caplog.messages)
    assert any("and what it complains of" in message for message in caplog.messages)
    assert len(caplog.messages) < 100


def test_a_bundle_is_not_run_that_nobody_trusts(tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match=r"nr\.Model\(…, trust=True\)"):
        open_runtime(python_bundle(tmp_path))


def test_who_reads_a_bundle_decides_what_needs_trust_and_not_what_it_says_of_itself(tmp_path: Path) -> None:
    """A loader of ours that reads data; the bundle's own module of that name is not imported."""
    spec = PythonSpec("noria.models.runtimes.formats:lightgbm_text", this_python(), {})
    run = "raise SystemExit('this was run')"
    hostile = python_bundle(tmp_path, run, spec=spec, files={"model.txt": b"no model"}, modules={"lightgbm": run})
    with pytest.raises(NotStarted) as caught:
        open_runtime(hostile)
    assert "this was run" not in str(caught.value)


@pytest.mark.parametrize("name", ["json.py", "__pycache__/mine.cpython-311.pyc"])
def test_a_file_that_was_not_sealed_is_not_there_to_be_imported(tmp_path: Path, name: str) -> None:
    bundle = python_bundle(tmp_path)
    open_runtime(bundle, OPTIONS).close()  # leaves no bytecode behind
    added = bundle.path / "model" / "source" / name
    added.parent.mkdir(exist_ok=True)
    added.write_bytes(b"")
    with pytest.raises(DamagedBundle, match="was not sealed with it"):
        open_runtime(bundle, OPTIONS)


def test_other_versions_than_those_it_was_made_with_are_refused_by_name_unless_allowed(tmp_path: Path) -> None:
    spec = PythonSpec("mine:load", "2.7", {"numpy": "1.0", "no-such-thing": "3"})
    bundle = python_bundle(tmp_path, spec=spec)
    with pytest.raises(OtherVersions) as caught:
        open_runtime(bundle, OPTIONS)
    assert caught.value.differing == {
        "numpy": ("1.0", np.__version__),
        "no-such-thing": ("3", None),
        "python": ("2.7", this_python()),
    }
    assert "no-such-thing is not installed instead of 3" in caught.value.where
    assert "requirements.txt" in caught.value.fix
    open_runtime(bundle, RuntimeOptions(trust=True, locked=False)).close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def load(folder): raise RuntimeError('no weights')", r"RuntimeError: no weights \(mine.py, line 1\)"),
        ("def load(folder): return 5", "int has no method `predict` or `stream` and can't be called"),
        ("import os; os._exit(9)", "its process exited with code 9"),
        ("import os; print('last words'); os.abort()", "its process was killed by SIGABRT: last words"),
        ("import time; time.sleep(60)", "it was not ready within 3 s"),
    ],
)
def test_a_model_that_does_not_load_says_why(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(NotStarted, match=words):
        open_runtime(python_bundle(tmp_path, source), RuntimeOptions(trust=True, start_seconds=3))


VIEWS = """
import numpy as np


def load(folder):
    return lambda columns: {
        "owned": np.full(len(columns["a"]), float(columns.block.flags.owndata or columns["a"].flags.owndata)),
        "written": np.full(len(columns["a"]), float(columns.block.flags.writeable)),
        "apart": np.full(len(columns["a"]), float(not np.shares_memory(columns.block, columns["a"]))),
    }
"""


def test_a_batch_lies_where_the_server_wrote_it(tmp_path: Path) -> None:
    """20 MB of numbers: the model's columns are views of the shared memory, which it can't change."""
    inputs = Signature.of_numbers(["a", *(f"f{i}" for i in range(639))]).inputs
    signature = Signature(inputs, Signature.of_numbers(["owned", "written", "apart"]).inputs)
    model = open_runtime(python_bundle(tmp_path, VIEWS, signature=signature), OPTIONS)
    found = model.answer(Rows.dense(inputs, np.zeros((8_192, 640), np.float32)))
    assert found.block[0].tolist() == [0, 0, 0]
    model.close()


SESSION = """
import os, sys


def load(folder):
    alone = float(os.getsid(0) == os.getpid() and sys.stdin.read() == "" and os.getcwd() != folder)
    return lambda columns: columns["a"] * 0 + alone
"""


def test_it_has_a_session_of_its_own_and_nothing_to_read(tmp_path: Path) -> None:
    model = open_runtime(python_bundle(tmp_path, SESSION), OPTIONS)
    assert model.answer(rows((5, 0))).block.tolist() == [[1]]
    model.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


CHILDREN = """
import subprocess
from pathlib import Path


def load(folder):
    helper = subprocess.Popen(["sleep", "300"])
    return lambda columns: columns["a"] * 0 + float(helper.pid)
"""


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    model = open_runtime(python_bundle(tmp_path, CHILDREN), OPTIONS)
    helper = int(model.answer(rows((5, 0))).block[0, 0])
    assert alive(helper)
    model.close()
    soon(lambda: not alive(helper))


def test_a_runtime_that_nobody_holds_leaves_no_process(tmp_path: Path) -> None:
    model = open_runtime(python_bundle(tmp_path), OPTIONS)
    assert isinstance(model, PythonRuntime)
    pid = model.pid
    assert pid is not None
    assert alive(pid)
    del model
    soon(lambda: not alive(pid))


def test_it_ends_when_the_one_that_started_it_is_killed(tmp_path: Path) -> None:
    bundle = python_bundle(tmp_path)
    code = f"""
        import os, time
        from pathlib import Path
        from noria.core.files import LocalFiles
        from noria.models.bundle import open_bundle
        from noria.models.runtimes import open_runtime
        from noria.models.runtimes.port import RuntimeOptions
        model = open_runtime(open_bundle(Path({str(bundle.path)!r}), LocalFiles()), RuntimeOptions(trust=True))
        print(model.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    soon(lambda: not alive(pid))


# --- asked from an event loop ---


async def asked(model: AsyncRuntime, given: Rows) -> Rows | ModelFailed:
    found: asyncio.Future[Rows | ModelFailed] = asyncio.get_running_loop().create_future()
    model.ask(given, found.set_result)
    return await found


async def answered_soon(model: AsyncRuntime, seconds: float = 10.0) -> float:
    """Until it answers again; returns how long that took."""
    watch = Stopwatch()
    while not isinstance(await asked(model, rows((7, 0))), Rows):
        assert watch.seconds < seconds
        await asyncio.sleep(0.02)
    return watch.seconds


def opened(folder: Path, **options: Any) -> PythonRuntime:
    model = open_runtime(python_bundle(folder), RuntimeOptions(trust=True, **options))
    assert isinstance(model, AsyncRuntime)
    assert isinstance(model, PythonRuntime)
    return model


def test_calls_are_answered_in_their_order_and_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    async def work() -> None:
        model, turns = opened(tmp_path), 0
        calls = [asyncio.ensure_future(asked(model, rows((i, 110 if i == 0 else 0)))) for i in range(20)]
        while not calls[0].done():
            await asyncio.sleep(0.01)
            turns += 1
        found = await asyncio.gather(*calls)
        assert [each.block[0, 0] for each in found if isinstance(each, Rows)] == list(range(20))
        assert turns > 20  # the first takes half a second
        model.close()

    asyncio.run(work())


@pytest.mark.parametrize(("kind", "words"), [(102, "it took longer than 1 s"), (103, "exited with code 3"), (104, "SIGSEGV")])
def test_a_process_that_is_lost_fails_its_call_and_those_behind_and_is_replaced(tmp_path: Path, kind: int, words: str) -> None:
    async def work() -> None:
        model = opened(tmp_path, deadline_seconds=1.0)
        first, second = await asyncio.gather(asked(model, rows((1, kind))), asked(model, rows((2, 0))))
        assert isinstance(first, ModelFailed)
        assert not first.alive
        assert words in first.where
        assert isinstance(second, ModelRestarting)
        assert (second.http_status, second.retry_after, second.code) == (503, 1, "NR-331")
        at_once = Stopwatch()
        assert isinstance(await asked(model, rows((2, 0))), ModelRestarting)
        assert at_once.seconds < 0.1
        await answered_soon(model)
        assert model.restarts == 1
        model.close()

    asyncio.run(work())


def test_a_process_that_dies_while_nobody_asks_is_replaced(tmp_path: Path) -> None:
    async def work() -> None:
        model = opened(tmp_path)
        await asked(model, rows((1, 0)))
        assert model.pid is not None
        os.kill(model.pid, signal.SIGKILL)
        while model.restarts == 0:
            await asyncio.sleep(0.02)
        assert isinstance(await asked(model, rows((7, 0))), Rows)
        model.close()

    asyncio.run(asyncio.wait_for(work(), 20))


def test_the_pause_grows_while_it_keeps_failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        model, waits = opened(tmp_path), []
        wait = model._closed.wait
        monkeypatch.setattr(model._closed, "wait", lambda seconds: waits.append(seconds) or wait(seconds))
        for _ in range(4):
            await asked(model, rows((1, 103)))
            await answered_soon(model)
        assert waits == [0.1, 0.2, 0.4, 0.8]
        model.close()

    asyncio.run(work())


def test_who_waits_for_a_runtime_that_is_closed_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        model = opened(tmp_path)
        pid = model.pid
        calls = [asyncio.ensure_future(asked(model, rows((1, 102)))) for _ in range(3)]
        await asyncio.sleep(0.1)
        model.close()
        assert all(isinstance(found, ModelFailed) for found in await asyncio.gather(*calls))
        assert pid is not None
        soon(lambda: not alive(pid))

    asyncio.run(work())
