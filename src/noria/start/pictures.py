"""A folder of pictures in folders of classes (`cat/1.png`, `dog/7.png`) as rows: each picture's path, class and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from noria.data.sources.arrow import piece_of
from noria.data.sources.files import CSV, JSON_LINES, PARQUET
from noria.data.sources.port import Piece

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
PATH, CLASS, IMAGE = "path", "class", "image"
MIN_CLASSES = 2
MAX_SAMPLED = 2_000
AT_ONCE = 256


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder of class folders, class by class; none for another folder."""
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    data = any(path.suffix.lower() in (*CSV, *JSON_LINES, *PARQUET) for path in folder.glob("*"))
    return found if len({path.parent for path in found}) >= MIN_CLASSES and not data else []


def sampled(pictures: list[Path]) -> pa.Table:
    """Some of them from all classes, without their bytes: nothing of a picture is looked at but its class."""
    import pyarrow as pa

    step = max(1, len(pictures) // MAX_SAMPLED)
    some = pictures[::step]
    return pa.table(
        {
            PATH: [_name(path) for path in some],
            CLASS: [path.parent.name for path in some],
            IMAGE: pa.array([b""] * len(some), pa.binary()),
        }
    )


def pieces_of(pictures: list[Path]) -> Iterator[Piece]:
    """The pictures with their bytes, some at a time."""
    import pyarrow as pa

    for start in range(0, len(pictures), AT_ONCE):
        some = pictures[start : start + AT_ONCE]
        columns = {
            PATH: [_name(path) for path in some],
            CLASS: [path.parent.name for path in some],
            IMAGE: pa.array([path.read_bytes() for path in some], pa.binary()),
        }
        yield piece_of(str(some[0]), pa.table(columns))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
