"""Commands as somebody types them, in this process: a program of its own takes seconds to start. Some tests start the real one,
`tests/cli/test_exits.py` among them."""

from __future__ import annotations

import gc
import io
import subprocess
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from noria.cli.exits import ended
from noria.cli.main import command


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """How `noria WORDS` ends in a folder, and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        code = ended(command, [*words])
        if code:
            gc.collect()  # what an error left open, the end of a program would close
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def done(folder: Path, *words: str) -> str:
    """What `noria WORDS` prints; one that fails fails the test."""
    ran = typed(folder, *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
