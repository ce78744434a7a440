"""The tutorial notebook runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


def test_the_tutorial_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "outputs are not stored: they would grow old, and hide changes"
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in code for output in cell.outputs]
    assert not [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"]
    pages = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert sum('class="noria"' in page for page in pages) == 7  # project, ingestion, training set, replay, evaluation, training, findings
    [frame] = [page for page in pages if page.startswith("<iframe")]
    assert "the loop" in frame
    [explained] = [output.text for output in shown if output.output_type == "stream" and "of endpoint late as champion" in output.text]
    assert "outcome: " in explained
