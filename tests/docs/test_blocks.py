"""Every block of README and the pages runs as it stands, or says why it does not; what shows output shows what really comes out."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from docs.blocks import LANGUAGES, PAGES, blocks_of, name_of
from docs.pages import CONTEXTS
from docs.reader import Reader

RUN = LANGUAGES - {"text"}
NOT_RUN = {
    "README.md": 1,
    "docs/coming-from.md": 4,
    "docs/llm-evaluation.md": 1,
    "docs/llm-retrieval.md": 4,
    "docs/mistakes.md": 1,
    "docs/monitoring.md": 3,
    "docs/python.md": 1,
    "docs/serving.md": 6,
    "docs/start.md": 4,
    "examples/bikes/README.md": 2,
    "examples/digits/README.md": 2,
    "examples/docs-assistant/README.md": 1,
    "examples/flights/README.md": 2,
    "examples/loans/README.md": 2,
}
FOLLOWED = [page for page in PAGES if any(block.language in RUN and block.reason is None for block in blocks_of(page))]


def test_every_block_says_its_language() -> None:
    for page in PAGES:
        fences = [line for line in page.read_text().splitlines() if line.startswith("```")]
        assert len(fences) == 2 * len(blocks_of(page)), f"{name_of(page)}: a block without a language, or one that is not closed"
        for block in blocks_of(page):
            assert block.language in LANGUAGES, block.where


def test_what_is_not_run_is_counted_so_that_nothing_slips_in() -> None:
    assert Counter(name_of(block.page) for page in PAGES for block in blocks_of(page) if block.reason) == NOT_RUN


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_page_can_be_followed(page: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    there = set(sys.modules)
    reader = Reader(tmp_path, request)
    try:
        with CONTEXTS.get(name_of(page), lambda _: nullcontext())(reader):
            for block in blocks_of(page):
                if block.language in RUN and block.reason is None:
                    reader.follow(block)
    finally:
        reader.stop()
        for name in set(sys.modules) - there:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
