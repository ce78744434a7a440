"""An application in a project: trained, served, asked, and built again when its corpus changes; from a folder of documents, by commands."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from desk import MODULE, served, write_desk
from llm.conftest import Run
from noria.core.clock import ReplayClock, SystemClock
from noria.core.files import LocalFiles
from noria.llm.guardrails import searched as searched_for
from noria.loop.live_loop import LiveLoop
from noria.loop.project import load_project
from noria.loop.state import Action
from noria.models.bundle import open_bundle
from noria.stores.workspace import Workspace
from projects import edited

MAIL = "ada.lovelace@analytical.example"
BEFORE = """
from pathlib import Path

from noria.evaluation.gates import Verdict


class OnlyBefore:
    name = "only before there are bicycles"

    def judge(self, evaluation):
        late = (Path(__file__).parent / "handbook" / "bicycles.md").exists()
        return Verdict(self.name, "failed" if late else "passed", "of the bicycles")


application ="""


def looped(folder: Path, hours: float) -> list[Action]:
    """What the loop does if it runs so many hours from now."""
    project = load_project(folder)
    clock = ReplayClock(SystemClock().now() + timedelta(hours=hours))
    with closing(LiveLoop(project, Workspace.of(folder, project.settings), clock, timedelta(hours=1), waits=True)) as loop:
        done = loop.run()
    assert not done.troubles
    return list(done.actions)


def test_an_application_lives_as_other_models_do(tmp_path: Path, noria: Run) -> None:
    write_desk(tmp_path)
    noria("check")
    assert [table["balance"]["rows_out"]["quarantined"] for table in noria("ingest")] == [0, 0, 0]
    train, promote = noria("train")
    assert (train["action"], promote["action"]) == ("train", "promote")
    assert train["trained"]["candidate"]["helpful"] == 0.5  # what people said, of half of the questions
    project = load_project(tmp_path)
    workspace = Workspace.of(tmp_path, project.settings)
    bundle = open_bundle(workspace.bundles / promote["subject"], LocalFiles())
    assert not bundle.manifest.trust
    assert {table.table for table in bundle.manifest.lineage.tables} == {"docs", "asked"}
    with served(tmp_path) as desk:
        told = desk.answer("Which form is it for laptops?")
        assert "7laptops" in told["answer"]
        assert told["finish"] == "answered"
        assert told["found_places"][told["found"].index(told["cited"][0])].startswith("laptops.md")
        assert desk.answer("Was ist die Hauptstadt von Peru?")["finish"] == "unknown"
        assert desk.answer(f"Which form is it for laptops of {MAIL}?")["answer"] == told["answer"]
        searched = desk.answer("How many holidays may I have?", mode="search")
        assert (searched["answer"], searched["finish"]) == ("", "searched")
        assert "more than twenty holidays" in " ".join(searched["found_texts"])
    leaks = searched_for(tmp_path, [MAIL])  # what is redacted stands in no file
    assert leaks.clean, leaks
    (tmp_path / "handbook" / "bicycles.md").write_text("# Bicycles\n\nThe key of the bicycles is in drawer 12.")
    (tmp_path / "handbook" / "parking.md").unlink()
    [train, promote] = looped(tmp_path, hours=3)
    assert train.reason.startswith("changed: docs has what became known at ")
    with served(tmp_path) as desk:
        assert "drawer 12" in desk.answer("Where is the key of the bicycles?")["answer"]
        assert not any("parking" in place for place in desk.answer("form for parking", mode="search")["found_places"])


def test_what_changed_is_built_once_even_if_it_is_refused(tmp_path: Path, noria: Run) -> None:
    write_desk(tmp_path, edited(MODULE, {"task=nr.Generation()": "task=nr.Generation(), gates=[OnlyBefore()]", "application =": BEFORE}))
    noria("ingest")
    assert [each["action"] for each in noria("train")] == ["train", "promote"]
    (tmp_path / "handbook" / "bicycles.md").write_text("# Bicycles\n\nThe key of the bicycles is in drawer 12.")
    assert [each.verb for each in looped(tmp_path, hours=3)] == ["train", "refuse"]
    assert not looped(tmp_path, hours=6)
