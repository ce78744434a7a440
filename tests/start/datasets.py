"""Small files as a new user has them, drawn from one seed."""

from __future__ import annotations

import csv
import sqlite3
import struct
import zlib
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
START = datetime.fromisoformat("2024-01-01")


def orders(count: int = 300) -> Rows:
    """Orders with a key, a time, and whether they were returned; some columns give that away."""
    draw = np.random.default_rng(7)
    found: Rows = []
    for i in range(count):
        price = round(float(draw.gamma(4, 12)), 2)
        returned = bool(draw.random() < 1 / (1 + np.exp(-(price - 48) / 12)))
        found.append(
            {
                "order_id": f"o{i:05}",
                "placed_at": (START + timedelta(minutes=97 * i)).isoformat(sep=" "),
                "price": price,
                "city": str(draw.choice(["ams", "ber", "cph"])),
                "items": int(draw.integers(1, 6)),
                "refund": round(price, 2) if returned else "",
                "returned_flag_copy": int(returned),
                "returned": "yes" if returned else "no",
            }
        )
    return found


def flowers(count: int = 120) -> Rows:
    """Rows without a key or a time, sorted by what is to be predicted."""
    draw = np.random.default_rng(8)
    kinds = sorted(["iris", "rose", "tulip"] * (count // 3))
    return [
        {"width": round(float(draw.normal(2 + ord(k[0]) % 7, 1.2)), 2), "length": round(float(draw.normal(5, 1)), 2), "species": k}
        for k in kinds
    ]


def hours(count: int = 400) -> Rows:
    """A series by the hour."""
    draw = np.random.default_rng(9)
    times = [START + timedelta(hours=i) for i in range(count)]
    return [{"at": t.isoformat(), "demand": int(50 + 30 * np.sin(t.hour / 24 * 2 * np.pi) + draw.normal(0, 4))} for t in times]


def reviews(count: int = 160) -> Rows:
    draw = np.random.default_rng(10)
    good, bad = ["lovely", "great", "warm", "quick"], ["broken", "late", "cold", "rude"]
    found = []
    for i in range(count):
        words = [*draw.choice(good if i % 2 else bad, 2), *draw.choice(["the", "shop", "order", "was", "and", "again", "box"], 5)]
        found.append({"review_id": i + 1, "text": " ".join(map(str, words)) + f" number {i}", "sentiment": "good" if i % 2 else "bad"})
    return found


def pixels(count: int = 100) -> Rows:
    draw = np.random.default_rng(11)
    return [{**{f"pixel_{j}": int(draw.integers(0, 17)) for j in range(16)}, "digit": i % 4} for i in range(count)]


def write_csv(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_database(path: Path, rows: Rows) -> str:
    with closing(sqlite3.connect(path)) as c, c:
        names = ", ".join(rows[0])
        c.execute(f"CREATE TABLE orders ({names})")
        c.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})",
            [tuple(None if value == "" else value for value in row.values()) for row in rows],
        )
    return f"sqlite:///{path}"


def write_pictures(folder: Path, count: int = 40) -> Path:
    """PNG files in shades of gray, in a folder for each class."""
    for i in range(count):
        kind = "dark" if i % 2 else "light"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / f"{i}.png").write_bytes(png(np.full((4, 4), 20 if i % 2 else 230, np.uint8)))
    return folder


def png(shades: np.ndarray) -> bytes:
    """A picture as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = shades.shape
    lines = b"".join(b"\0" + line.tobytes() for line in shades)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
