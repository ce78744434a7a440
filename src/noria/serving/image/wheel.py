"""Noria as a wheel: the code that runs here, so that an image has just the version that verified its bundle."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path

NAME = "noria"
WHEEL = "Wheel-Version: 1.0\nGenerator: noria\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that zip archives know: the same code gives the same bytes


def noria_wheel() -> tuple[str, bytes]:
    """The name and bytes of a wheel of the package that is running."""
    own = distribution(NAME)
    root = Path(__file__).parents[2]
    files = {
        f"{NAME}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = f"{NAME}-{own.version}.dist-info"
    files |= {
        f"{info}/METADATA": (own.read_text("METADATA") or f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {own.version}\n").encode(),
        f"{info}/WHEEL": WHEEL.encode(),
        f"{info}/entry_points.txt": (own.read_text("entry_points.txt") or "[console_scripts]\nnoria = noria.cli.main:run\n").encode(),
    }
    record = "".join(f"{name},{_hash(data)},{len(data)}\n" for name, data in files.items()) + f"{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return f"{NAME}-{own.version}-py3-none-any.whl", packed.getvalue()


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
