"""A folder of documents as a table: what is new, changed, moved, gone and broken, at every moment."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

import noria as nr
from noria.core.clock import SystemClock
from noria.data.ingest import Ingested, ingest
from noria.data.stored import StoredRows
from noria.llm.documents import document_files, documents_at
from noria.llm.documents.refusals import BadDocumentRow
from noria.llm.documents.source import document_of
from noria.stores.tables import DeltaTables

TABLE = nr.Table("docs", document_files("handbook", metadata={"team": "a"}), key="id", event_time="changed_at", deleted="deleted")


class Corpus:
    """A folder of documents and the table they are ingested into."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, DeltaTables(folder / "tables")
        (folder / "handbook" / "sub").mkdir(parents=True)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / "handbook" / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def ingest(self) -> Ingested:
        self.found = ingest(TABLE, self.store, self.folder)
        return self.found

    def texts(self, at: datetime | None = None) -> dict[str, str]:
        rows = StoredRows(TABLE, self.found.snapshot, self.store).whole
        return {d.id: d.text for d in documents_at(rows, at or SystemClock().now())}


def test_changes_moves_and_deletions_are_seen_and_the_past_stays(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.write("a.md", "# A\nfirst")
    corpus.write("sub/b.txt", "b")
    corpus.write("sub/c.txt", "c")
    corpus.write("picture.png", b"\x89PNG")  # no document: not read
    os.utime(tmp_path / "handbook" / "a.md", ns=(10**18, 10**18))
    corpus.ingest()
    assert corpus.texts() == {"a.md": "# A\nfirst", "sub/b.txt": "b", "sub/c.txt": "c"}
    assert set(corpus.texts(datetime(2001, 9, 10, tzinfo=UTC))) == {"a.md"}, "the others are younger"
    before = SystemClock().now()
    corpus.write("a.md", "# A\nsecond")
    os.utime(tmp_path / "handbook" / "a.md", ns=(9 * 10**17, 9 * 10**17))  # put back with an older age
    shutil.move(tmp_path / "handbook" / "sub" / "b.txt", tmp_path / "handbook" / "b.txt")
    (tmp_path / "handbook" / "sub" / "c.txt").unlink()
    corpus.ingest()
    assert corpus.texts() == {"a.md": "# A\nsecond", "b.txt": "b"}
    assert corpus.texts(before) == {"a.md": "# A\nfirst", "sub/b.txt": "b", "sub/c.txt": "c"}


def test_nothing_is_stored_when_files_are_only_touched_and_what_comes_back_is_there(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    path = corpus.write("a.md", "text")
    corpus.write("b.md", "b")
    first = corpus.ingest().snapshot
    path.touch()
    assert corpus.ingest().snapshot.digest == first.digest
    saved, stat = path.read_bytes(), path.stat()
    path.unlink()
    corpus.ingest()
    assert corpus.texts() == {"b.md": "b"}
    path.write_bytes(saved)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    corpus.ingest()
    assert corpus.texts() == {"a.md": "text", "b.md": "b"}
    for name in ("a.md", "b.md"):
        (tmp_path / "handbook" / name).unlink()
    corpus.ingest()
    assert corpus.texts() == {}


def test_a_file_without_a_text_is_quarantined_and_its_last_version_stays(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.write("a.md", "good")
    corpus.write("b.txt", b"\x00\x01")
    found = corpus.ingest()
    assert corpus.texts() == {"a.md": "good"}
    assert found.balance.holds
    assert found.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 1}
    corpus.write("a.md", b"")
    corpus.ingest()
    assert corpus.texts() == {"a.md": "good"}


def test_links_that_lead_out_and_names_that_are_no_text_are_quarantined(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    (tmp_path / "secret.txt").write_text("the password is tulip")
    (tmp_path / "handbook" / "out.txt").symlink_to(tmp_path / "secret.txt")
    corpus.write("a.md", "good")
    (tmp_path / "handbook" / "again.md").symlink_to(tmp_path / "handbook" / "a.md")
    Path(os.fsdecode(bytes(tmp_path / "handbook") + b"/bad\xff.md")).write_text("bad")
    found = corpus.ingest()
    assert corpus.texts() == {"a.md": "good", "again.md": "good"}
    assert found.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 2}
    assert corpus.ingest().balance.rows_out["stored"] == 0


def test_labels_and_metadata_are_lists_and_structs_or_their_json() -> None:
    for access, metadata in (('["board"]', '{"team": "a"}'), (["board"], {"team": "a", "year": None})):
        document = document_of({"id": 1, "text": "t", "access": access, "metadata": metadata})
        assert (document.id, document.access, document.metadata) == ("1", ("board",), {"team": "a"})
    assert document_of({"id": 1, "text": None, "access": "", "metadata": None}).access == ()


@pytest.mark.parametrize("access", ["board", '"board"', "{}", '[""]', "[1]", 3, [None]])
def test_labels_that_cannot_be_read_are_refused(access: object) -> None:
    with pytest.raises(BadDocumentRow, match="'access'"):
        document_of({"id": "pay", "text": "t", "access": access})
