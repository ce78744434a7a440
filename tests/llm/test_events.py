"""Server-sent events: the same however the bytes are cut, and bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.llm.generation.events import Events, TooLong


def read(pieces: list[bytes], most: int = 10_000) -> tuple[list[bytes], bytes | None]:
    events = Events(most)
    return [event for piece in pieces for event in events.add(piece)], events.end()


def simply(data: bytes) -> tuple[list[bytes], bytes | None]:
    """The standard's algorithm in its own words, of all bytes at once."""
    lines = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found, told = list[bytes](), list[bytes]()
    for line in lines[:-1]:
        if not line and told:
            found.append(b"\n".join(told))
            told = []
        elif line.split(b":")[0] == b"data":
            value = line[5:]
            told.append(value.removeprefix(b" "))
    if lines[-1].split(b":")[0] == b"data":
        told.append(lines[-1][5:].removeprefix(b" "))
    return found, b"\n".join(told) if told else None


LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:  c", b": hi", b"", b"", b"event: x", b"data: {\xc3\xb6}", b"data : no", b"\xef\xbb\xbf"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(lambda lines: b"".join(line + end for line, end in lines))


@given(
    data=STREAMS | st.binary(max_size=60) | st.text("data: \r\n", max_size=60).map(str.encode),
    cuts=st.lists(st.integers(0, 200), max_size=20),
)
@settings(max_examples=120, deadline=None)
def test_events_are_the_standards_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert read([data[a:b] for a, b in pairwise(places)] or [data]) == simply(data)


@pytest.mark.parametrize("data", [b"data: " + b"x" * 2000, b"x" * 2000, b"data: 12345678\n" * 200])
def test_an_event_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(TooLong):
        read([data[at : at + 50] for at in range(0, len(data), 50)], most=1000)


def test_many_small_pieces_take_time_in_proportion() -> None:
    events, data = Events(10_000_000), b"data: " + b"x" * 1_000_000 + b"\n\n"
    assert [len(event) for at in range(0, len(data), 100) for event in events.add(data[at : at + 100])] == [1_000_000]
