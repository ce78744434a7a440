"""Three months of a scanner at a counter, made of scikit-learn's handwritten digits.

In:   `sklearn.datasets.load_digits`: 1,797 images of 8 × 8 pixels with 17 shades, and the digit that each shows
Out:  `data/{scans,typed}.parquet`, every time in UTC

The images and their digits are real. **The times are invented**, and so is the fault: the images are shuffled, `A_DAY` of them are scanned
each day, every half an hour, and somebody types what each says a day later. From `LAMP_FADES` on the scanner's lamp gives half its light.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

FIRST_SCAN = datetime(2024, 1, 1, 8, tzinfo=UTC)
LAMP_FADES = datetime(2024, 3, 1, tzinfo=UTC)
A_DAY = 20
APART = timedelta(minutes=30)
TYPED_AFTER = timedelta(days=1)


def prepare(folder: Path) -> None:
    """Write the two Parquet files into `folder`/data."""
    pixels, digits = load_digits(return_X_y=True)
    count = len(digits) // A_DAY * A_DAY  # whole days only
    order = np.random.default_rng(0).permutation(len(digits))[:count]  # the file has one writer after the other
    scanned_at = np.array([FIRST_SCAN + timedelta(days=i // A_DAY) + i % A_DAY * APART for i in range(count)])
    shades = pixels[order].astype(np.uint8)
    shades[scanned_at >= LAMP_FADES] //= 2

    target = folder / "data"
    target.mkdir(parents=True, exist_ok=True)
    scan_ids = [f"scan-{i:04}" for i in range(count)]
    scans = {"scan_id": scan_ids, "pixels": pa.array(shades.tolist(), pa.list_(pa.uint8())), "scanned_at": scanned_at.tolist()}
    typed = {"scan_id": scan_ids, "digit": digits[order], "typed_at": (scanned_at + TYPED_AFTER).tolist()}
    pq.write_table(pa.table(scans), target / "scans.parquet")
    pq.write_table(pa.table(typed), target / "typed.parquet")


if __name__ == "__main__":
    prepare(Path(__file__).parent)
