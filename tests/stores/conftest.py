"""A catalog that this process may write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.stores.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "catalog.db")
    opened.take_lease()
    yield opened
    opened.close()
