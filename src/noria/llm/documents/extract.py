"""From the bytes of a file to a document, by the ending of its name.

HTML and Office files become Markdown by markitdown, PDF pages text by pypdf: both well kept, with no service behind them. What a file can
do to a reader is bounded: bytes at first, bytes once unpacked, and the ratio of the two (a zip bomb unpacks a thousandfold).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePosixPath

from noria.core.errors import MissingExtra
from noria.llm.documents.document import Document, Place
from noria.llm.documents.languages import LANGUAGES
from noria.llm.documents.refusals import NotExtracted

MAX_BYTES = 50_000_000  # of a file
MAX_UNPACKED, MAX_RATIO = 500_000_000, 200  # bytes of an Office file's parts, and how many times its own size they may be
OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # the beginning of encrypted Office files, and of those of before 2007
MARKDOWN, PLAIN, HTML = (".md", ".markdown", ".mdx"), (".txt", ".rst", ".text", ".log"), (".html", ".htm", ".xhtml")
OFFICE = (".docx", ".pptx", ".xlsx")
RISKY = frozenset({*HTML, *OFFICE, ".pdf"})
"""Endings of files whose readers may hang, crash or fill the memory: see `isolated`."""
THREW = re.compile(r"threw (\w+) with message: (.*)")
MAX_CONTROL = 0.02  # the share of control characters above which bytes are no text
PREFIXES = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "an Office file or another archive",
    OLE: "an old Office file",
    b"\x1f\x8b": "compressed",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
}
"""How files begin that are no text, whatever their names say."""

Reader = Callable[[str, bytes], Document]


def extract(name: str, data: bytes, *, max_bytes: int = MAX_BYTES) -> Document:
    """The document that a file holds. name: its path, whose ending says what it is and which becomes the document's id

    Raises `NotExtracted` with the reason, and `MissingExtra`.
    """
    reader = KINDS.get(PurePosixPath(name).suffix.lower())
    if reader is None:
        raise NotExtracted(name, "its ending is none of those that are read", f"use one of {', '.join(KINDS)}, or leave it out")
    if len(data) > max_bytes:
        raise too_large(name, len(data), max_bytes)
    found = reader(name, data)
    if not found.text.strip():
        raise NotExtracted(name, "it is empty", "leave it out, or save it again")
    return found


def too_large(name: str, size: int, max_bytes: int) -> NotExtracted:
    """Why a file of so many bytes is not read."""
    fix = f"split it, or raise max_bytes above {max_bytes:,}"
    return NotExtracted(name, f"it has {size:,} bytes, and {max_bytes:,} at most are read", fix)


def prepare() -> None:
    """Load the libraries of risky files, as far as they are there, so that what a file takes can be told from what they take."""
    with suppress(ImportError):
        import pypdf  # noqa: F401
    with suppress(ImportError):
        from markitdown import MarkItDown

        MarkItDown(enable_plugins=False)


def _markdown(name: str, data: bytes) -> Document:
    text = _decoded(name, data)
    return Document(name, text, title=_heading(text) or _stem(name))


def _plain(name: str, data: bytes) -> Document:
    return Document(name, _decoded(name, data), kind="plain", title=_stem(name))


def _code(name: str, data: bytes) -> Document:
    language = LANGUAGES[PurePosixPath(name).suffix.lower()]
    return Document(name, _decoded(name, data), kind="code", title=PurePosixPath(name).name, language=language)


def _notebook(name: str, data: bytes) -> Document:
    """The cells of a notebook, without their outputs."""
    try:
        found = json.loads(_decoded(name, data))
        cells = [(str(cell["cell_type"]), "".join(cell["source"])) for cell in found["cells"]]
        language = str(found.get("metadata", {}).get("kernelspec", {}).get("language", "python"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotExtracted(name, "it is no notebook (nbformat 4)", "save it again, or leave it out") from error
    text, places = "", list[Place]()
    for number, (kind, source) in enumerate(cells, start=1):
        if source.strip():
            places.append(Place(len(text), f"cell {number}"))
            text += (f"```{language}\n{source.rstrip()}\n```" if kind == "code" else source.strip()) + "\n\n"
    return Document(name, text, title=_heading(text) or _stem(name), places=tuple(places))


def _pdf(name: str, data: bytes) -> Document:
    try:
        import pypdf
    except ImportError as error:
        raise MissingExtra(library="pypdf", extra="llm", needed_for="PDF documents") from error
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise NotExtracted(name, "it is encrypted", "save it without a password")
        pages = [page.extract_text() for page in reader.pages]
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except NotExtracted:
        raise
    except Exception as error:  # of a broken file, any at all
        raise NotExtracted(name, f"it is a broken PDF ({_brief(error)})", "save it again, or leave it out") from error
    if not any(page.strip() for page in pages):
        raise NotExtracted(name, f"its {len(pages)} pages are pictures without text", "run text recognition (OCR) over it first")
    text, places = "", list[Place]()
    for number, page in enumerate(pages, start=1):
        places.append(Place(len(text), f"page {number}"))
        text += page.strip() + "\n\n"
    return Document(name, text, kind="plain", title=title.strip() or _stem(name), places=tuple(places))


def _office(name: str, data: bytes) -> Document:
    if data.startswith(OLE):
        raise NotExtracted(name, "it is encrypted, or a file of before Office 2007", "save it without a password, as docx, pptx or xlsx")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except zipfile.BadZipFile as error:
        raise NotExtracted(name, "it is a broken Office file", "save it again, or leave it out") from error
    if size > MAX_UNPACKED or size > MAX_RATIO * max(len(data), 10_000):
        raise NotExtracted(name, f"its {len(data):,} bytes unpack to {size:,}: it may be a zip bomb", "leave it out, or split it")
    return _converted(name, data)


def _converted(name: str, data: bytes) -> Document:
    try:
        from markitdown import MarkItDown, StreamInfo
    except ImportError as error:
        raise MissingExtra(library="markitdown", extra="llm", needed_for="HTML and Office documents") from error
    try:
        found = MarkItDown(enable_plugins=False).convert_stream(
            io.BytesIO(data), stream_info=StreamInfo(extension=PurePosixPath(name).suffix.lower())
        )
    except RecursionError as error:
        raise NotExtracted(name, "its parts are nested too deeply", "save it again, or leave it out") from error
    except Exception as error:  # of a broken file, any at all
        raise NotExtracted(name, f"it can't be converted ({_brief(error)})", "save it again, or leave it out") from error
    text = found.markdown.strip() + "\n"
    return Document(name, text, title=(found.title or _heading(text) or _stem(name)).strip())


def _page(name: str, data: bytes) -> Document:
    """A page of HTML, whose bytes are text in the encoding that it names."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        _require_text(name, data)
    return _converted(name, data)


def _require_text(name: str, data: bytes) -> None:
    """Raise `NotExtracted` for bytes that are no text in any encoding of single bytes."""
    found = next((kind for prefix, kind in PREFIXES.items() if data.startswith(prefix)), None)
    if found is not None:
        raise NotExtracted(name, f"it is {found} by its content", "give it the ending of what it is, or leave it out")
    head = data[:100_000]
    control = sum(head.count(bytes([code])) for code in range(32) if code not in b"\t\n\r\f\x1b")
    if b"\x00" in data or control > MAX_CONTROL * len(head):
        raise NotExtracted(name, "it holds binary data, not text", "leave it out, or give it the ending of what it is")


def _decoded(name: str, data: bytes) -> str:
    """The text of bytes: UTF-8, UTF-16, or what they most likely are."""
    encoding = _wide(data)
    if encoding is None:
        _require_text(name, data)
    for each in [encoding] if encoding else ["utf-8-sig", _likely(data)]:
        try:
            text = data.decode(each)
        except (UnicodeDecodeError, LookupError):
            continue
        if encoding is not None:
            _require_text(name, text.encode()[:100_000])
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise NotExtracted(name, "its characters can't be read", "save it as UTF-8")


def _wide(data: bytes) -> str | None:
    """The UTF-16 or UTF-32 that bytes are in, by their mark; or UTF-16 without one where every second byte of Latin text is zero."""
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[: 2 * 5_000]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(data) % 2 or max(even, odd) < 0.3 * len(head) / 2 or min(even, odd):
        return None
    return "utf-16-be" if even else "utf-16-le"


def _likely(data: bytes) -> str:
    """The encoding of bytes that are no UTF-8: guessed where there is enough to guess from, else that of western Windows."""
    foreign = sum(byte >= 128 for byte in data[:50_000])
    if foreign < 30:
        return "cp1252" if not any(byte in b"\x81\x8d\x8f\x90\x9d" for byte in data) else "latin-1"
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return "cp1252"
    found = from_bytes(data[:50_000]).best()
    return found.encoding if found is not None else "cp1252"


def _brief(error: Exception) -> str:
    """What a library says, in a line; of markitdown, what the reader within it says."""
    within = THREW.search(str(error))
    text = f"{within[1]}: {within[2]}" if within else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:200]


def _heading(text: str) -> str:
    """The first heading of the first level; empty where there is none."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), "")


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


KINDS: dict[str, Reader] = {
    **dict.fromkeys(MARKDOWN, _markdown),
    **dict.fromkeys(PLAIN, _plain),
    **dict.fromkeys(HTML, _page),
    **dict.fromkeys(OFFICE, _office),
    ".pdf": _pdf,
    ".ipynb": _notebook,
    **dict.fromkeys(LANGUAGES, _code),
}
"""The readers, by the ending of a file's name."""
