"""Start-up stays quick: nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import pytest

import noria as nr

HEAVY = (
    "pandas",
    "sklearn",
    "torch",
    "mlflow",
    "lightgbm",
    "duckdb",
    "pyarrow",
    "deltalake",
    "sqlalchemy",
    "scipy",
    "onnxruntime",
    "lmdb",
    "fsspec",
    "redis",
    "pyspark",
    "numpy",
)


def loaded(code: str) -> str:
    found = f"{code}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_noria_loads_nothing_heavy() -> None:
    assert loaded("import noria") == "[]"


def test_the_command_line_loads_nothing_heavy_for_help() -> None:
    assert loaded("import noria.cli.main") == "[]"


@pytest.mark.parametrize(("command", "limit"), [(["-c", "import noria"], 0.15), (["-m", "noria", "--help"], 0.4)])
def test_start_up_is_quick(command: list[str], limit: float) -> None:
    """Less the interpreter's own start; three times the promise, for busy machines (the promise itself is proven)."""

    def seconds(arguments: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    seconds(command)
    assert median(seconds(command) - seconds(["-c", ""]) for _ in range(5)) < 3 * limit


def test_every_public_name_is_there_and_explained() -> None:
    for name in nr.__all__:
        assert getattr(nr, name).__doc__, name
    assert set(nr.__all__) <= set(dir(nr))
    with pytest.raises(AttributeError, match="no attribute 'Tabel'"):
        _ = nr.Tabel  # type: ignore[attr-defined]
