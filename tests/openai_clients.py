"""OpenAI's own clients, closed after the test that opened them: a socket that is left to the garbage collector fails another test.

A module that uses them imports the fixture `closed_clients` as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

_opened: list[openai.OpenAI] = []


def openai_client(base_url: str, api_key: str = "none", **more: Any) -> openai.OpenAI:
    """A client that tries once."""
    client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0, **more)
    _opened.append(client)
    return client


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()
