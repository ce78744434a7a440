"""Files as documents: real ones of each kind, and broken ones, each refused with its reason."""

from __future__ import annotations

import io
import json
import zipfile

import openpyxl
import pptx
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.llm.documents import KINDS, NotExtracted, extract


def pdf(pages: list[str]) -> bytes:
    """A PDF with a line of text on each page, by the specification (ISO 32000-1, 7.5)."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    tree, font = f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    objects = ["<</Type/Catalog/Pages 2 0 R>>", tree, font]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents {5 + 2 * i} 0 R>>"
        objects += [page, f"<</Length {len(stream)}>>stream\n{stream}\nendstream"]
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj{each}endobj\n".encode()
    table = "".join(f"{at:010} 00000 n \n" for at in places)
    count = len(objects) + 1
    trailer = f"trailer<</Size {count}/Root 1 0 R>>\nstartxref\n{len(out)}\n%%EOF"
    end = f"xref\n0 {count}\n0000000000 65535 f \n{table}{trailer}"
    return out + end.encode()


def docx(*paragraphs: tuple[str, str]) -> bytes:
    """A Word file of paragraphs, each with its style."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    packaged = "http://schemas.openxmlformats.org/package/2006"
    styled = "".join(f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>' for style, text in paragraphs)
    names = "".join(
        f'<w:style w:type="paragraph" w:styleId="{style}"><w:name w:val="{name}"/></w:style>'
        for style, name in (("Heading1", "heading 1"), ("Normal", "Normal"))
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    related, part = "application/vnd.openxmlformats-package.relationships+xml", f"{kind}.document.main+xml"
    overrides = (("/word/document.xml", part), ("/word/styles.xml", f"{kind}.styles+xml"))
    types = "".join(f'<Override PartName="{name}" ContentType="{each}"/>' for name, each in overrides)

    def linked(kind: str, target: str) -> str:
        link = f'<Relationship Id="r" Type="{office}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{packaged}/relationships">{link}</Relationships>'

    default = f'<Default Extension="rels" ContentType="{related}"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{packaged}/content-types">{default}{types}</Types>',
        "_rels/.rels": linked("officeDocument", "word/document.xml"),
        "word/_rels/document.xml.rels": linked("styles", "styles.xml"),
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{styled}</w:body></w:document>',
        "word/styles.xml": f'<w:styles xmlns:w="{word}">{names}</w:styles>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def saved(made) -> bytes:
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_markdown_html_and_text_keep_their_headings_and_titles() -> None:
    assert extract("a/guide.md", "\ufeff# Guide\r\ntext\r\n".encode()).title == "Guide"
    head = "<title>Rates</title><style>p{}</style>"
    body = "<h1>Rates</h1><script>alert(1)</script><p>Five <b>per cent</b></p><h2>Late</h2>"
    page = f"<html><head>{head}</head><body>{body}</body></html>".encode()
    found = extract("rates.html", page)
    assert (found.title, found.kind) == ("Rates", "markdown")
    assert "# Rates" in found.text
    assert "## Late" in found.text
    assert "Five **per cent**" in found.text
    assert "alert" not in found.text
    assert extract("notes.txt", "caf\xe9".encode("cp1252")).text == "caf\xe9"
    assert extract("notes.txt", "caf\xe9".encode("utf-16")).text == "caf\xe9"
    assert extract("x.py", b"def f():\n    pass\n").language == "python"


def test_pages_of_a_pdf_and_cells_of_a_notebook_are_places() -> None:
    found = extract("two.pdf", pdf(["The first page", "The second page"]))
    assert [found.place_of(found.text.index(each)) for each in ("first", "second")] == ["page 1", "page 2"]
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "why"]},
        {"cell_type": "code", "source": "1 + 1", "outputs": [{"text": "secret"}]},
    ]
    found = extract("n.ipynb", json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode())
    assert found.title == "Study"
    assert "```python\n1 + 1\n```" in found.text
    assert "secret" not in found.text
    assert found.place_of(found.text.index("1 + 1")) == "cell 2"


def test_office_files_become_markdown() -> None:
    found = extract("plan.docx", docx(("Heading1", "Plan"), ("Normal", "Do it soon")))
    assert found.text == "# Plan\n\nDo it soon\n"
    book = openpyxl.Workbook()
    book.active.title = "Costs"
    book.active.append(["item", "euro"])
    book.active.append(["chair", 40])
    found = extract("costs.xlsx", saved(book))
    assert "## Costs" in found.text
    assert "| chair | 40 |" in found.text
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = "Hello"
    assert "# Hello" in extract("deck.pptx", saved(deck)).text


def encrypted() -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["hidden"])))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * 60_000_000)
    return out.getvalue()


REFUSED = [
    ("a.pdf", encrypted, "it is encrypted"),
    ("a.pdf", lambda: pdf(["x"])[:150], "it is a broken PDF"),
    ("a.pdf", lambda: pdf(["", ""]), "its 2 pages are pictures without text"),
    ("a.docx", bomb, "unpack to 60,000,000: it may be a zip bomb"),
    ("a.docx", lambda: bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "it is encrypted, or a file of before Office 2007"),
    ("a.xlsx", lambda: b"PK\x03\x04nothing", "it is a broken Office file"),
    ("a.txt", lambda: b"a" * 2_000, "it has 2,000 bytes, and 1,000 at most are read"),
    ("a.txt", lambda: b"a\x00b", "it holds binary data"),
    ("a.md", lambda: b" \n", "it is empty"),
    ("a.ipynb", lambda: b"[1]", "it is no notebook"),
    ("a.exe", lambda: b"MZ", "its ending is none of those that are read"),
]


@pytest.mark.parametrize(("name", "made", "reason"), REFUSED, ids=[f"{name} {reason[:20]}" for name, _, reason in REFUSED])
def test_what_has_no_text_is_refused_with_its_reason(name: str, made, reason: str) -> None:
    with pytest.raises(NotExtracted) as raised:
        extract(name, made(), max_bytes=1_000 if name == "a.txt" else 50_000_000)
    assert reason in raised.value.what
    assert raised.value.fix


@given(data=st.binary(max_size=300), name=st.sampled_from([f"a{ending}" for ending in sorted(KINDS)]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_document_or_refused(data: bytes, name: str) -> None:
    try:
        text = extract(name, data).text
    except NotExtracted:
        return
    assert text.strip()
