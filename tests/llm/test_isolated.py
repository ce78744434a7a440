"""Hostile files: each is refused with its reason, whatever its reader does, and the files after it are read."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

import noria as nr
from noria.data.ingest import ingest
from noria.data.stored import StoredRows
from noria.llm.documents import IsolatedExtractor, NotExtracted, document_files, extract
from noria.stores.tables import DeltaTables

from .test_documents import bomb, docx, encrypted, pdf, saved


@pytest.fixture(scope="module")
def extractor() -> Iterator[IsolatedExtractor]:
    with IsolatedExtractor(gigabytes=0.3, max_bytes=20_000_000) as made:
        yield made


def entities() -> bytes:
    """A Word file whose ten entities stand for 10^10 letters ("billion laughs")."""
    named = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx(("Normal", "x")))) as parts, zipfile.ZipFile(out, "w") as made:
        for name in parts.namelist():
            text = parts.read(name).decode()
            if name == "word/document.xml":
                text = f'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">{named}]>' + text.replace(">x<", ">&j;<")
            made.writestr(name, text)
    return out.getvalue()


def wide_sheet() -> bytes:
    """Two cells, at the ends of 17 thousand million."""
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = 1, 2
    return saved(book)


HOSTILE = [
    ("a.docx", entities, "it can't be converted"),
    ("a.xlsx", wide_sheet, "takes more than 0.3 GiB of memory"),
    ("a.docx", bomb, "it may be a zip bomb"),
    ("a.pdf", encrypted, "it is encrypted"),
    ("a.pdf", lambda: b"", "it is a broken PDF"),
    ("a.pdf", lambda: b"<html>page</html>", "it is a broken PDF"),
    ("a.html", lambda: bytes(range(256)) * 9, "it holds binary data"),
    ("a.html", lambda: pdf(["x"]), "it is a PDF by its content"),
    ("a.html", lambda: b" " * 20_000_001, "it has 20,000,001 bytes, and 20,000,000 at most"),
    ("a.txt", lambda: pdf(["x"]), "it is a PDF by its content"),
    ("a.md", lambda: docx(("Normal", "x")), "it is an Office file"),
    ("a.md", lambda: bytes([1, 2, 3, 4]) * 9, "it holds binary data"),
    ("a.ipynb", lambda: b'{"cells":' + b"[" * 100_000, "it is no notebook"),
    ("a.docx", lambda: docx(("Normal", "x"))[:-30], "it is a broken Office file"),
]


@pytest.mark.parametrize(("name", "made", "reason"), HOSTILE, ids=[f"{name} {reason[:20]}" for name, _, reason in HOSTILE])
def test_each_is_refused_and_the_next_is_read(extractor: IsolatedExtractor, name: str, made, reason: str) -> None:
    with pytest.raises(NotExtracted) as raised:
        extractor.extract(name, made())
    assert reason in raised.value.reason
    assert extractor.extract("b.pdf", pdf(["Good"])) == extract("b.pdf", pdf(["Good"]))


def test_what_is_nested_deeply_is_read(extractor: IsolatedExtractor) -> None:
    assert "deep" in extractor.extract("a.html", b"<table><tr><td>" * 3_000 + b"deep").text


def test_a_file_that_takes_too_long_is_given_up() -> None:
    """A page that takes minutes, and a tenth of a second for it."""
    with IsolatedExtractor(seconds=0.1) as extractor:
        with pytest.raises(NotExtracted, match=r"took longer than 0\.1 s"):
            extractor.extract("a.html", b"<p>word <b>word</b></p>" * 100_000)
        assert extractor.extract("a.txt", b"text").text == "text"


def test_a_reader_that_dies_takes_its_file_with_it_and_no_other_and_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with IsolatedExtractor() as extractor:
        extractor.extract("a.pdf", pdf(["Good"]))
        child = extractor._child
        assert child is not None
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
        assert b"PYTHONPATH" in environment
        assert b"secret" not in environment
        child.kill()
        child.wait()
        with pytest.raises(NotExtracted, match="its reader died of it"):
            extractor.extract("b.pdf", pdf(["Unlucky"]))
        assert extractor.extract("c.pdf", pdf(["Good"])).text == "Good\n\n"
        assert extractor.started == 2
        last = extractor._child
    assert last is not None
    assert last.poll() is not None


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16-le", "Ein Text ohne Marke"),
        ("utf-16-be", "Ein Text ohne Marke"),
        ("utf-16", "mit Marke: é日本"),
        ("utf-32", "mit Marke"),
        ("latin-1", "caf\xe9 \x81"),
        ("cp1252", "“quoted” – café"),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю. Широкая электрификация южных губерний."),
        ("shift_jis", "これは日本語の文章です。検索のために使われます。次の文は別のことを言います。"),
    ],
)
def test_texts_of_any_usual_encoding_are_read(encoding: str, text: str) -> None:
    assert extract("a.txt", text.encode(encoding)).text == text


def test_one_bad_document_never_stops_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, data in {"bad.docx": entities(), "broken.pdf": b"%PDF-1.4", "empty.md": b"", "good.docx": docx(("Normal", "Good"))}.items():
        (folder / name).write_bytes(data)
    (folder / "large.txt").write_bytes(b"a" * 5_000)
    (folder / "loop.md").symlink_to("loop.md")
    (folder / "named \u00fc\u65e5.md").write_text("text")
    table = nr.Table("docs", document_files("docs", max_bytes=4_000), key="id", event_time="changed_at", deleted="deleted")
    store = DeltaTables(tmp_path / "tables")
    found = ingest(table, store, tmp_path)
    assert sorted(StoredRows(table, found.snapshot, store).whole.rows["id"].to_pylist()) == ["good.docx", "named \u00fc\u65e5.md"]
    assert found.balance.holds
    assert found.balance.rows_out["quarantined"] == 4
    if os.geteuid():  # whom permissions bind
        (folder / "secret.md").write_text("later")
        (folder / "secret.md").chmod(0)
        assert ingest(table, store, tmp_path).balance.rows_out["quarantined"] == 1
        (folder / "secret.md").chmod(0o600)
        assert "secret.md" in StoredRows(table, ingest(table, store, tmp_path).snapshot, store).whole.rows["id"].to_pylist()
