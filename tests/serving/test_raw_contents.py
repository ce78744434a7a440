"""Large messages of gRPC are taken apart as protobuf itself does it, wherever what is received is cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.serving.protocol.messages import inference
from noria.serving.protocol.raw_contents import split
from noria.serving.transport.http2 import HEAD, PREFACE, Http2Connection, literal

requests = st.builds(
    lambda name, number, contents, shape, keys: (name, number, contents, shape, keys),
    st.text(max_size=20),
    st.text(max_size=5),
    st.lists(st.binary(max_size=300), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.text(max_size=10),
)


def message_of(name: str, number: str, contents: list[bytes], shape: list[int], keys: str) -> Any:
    request = inference["ModelInferRequest"](model_name=name, id=number)
    request.inputs.add(name=name, datatype="UINT8", shape=shape)
    if keys:
        request.parameters["keys"].string_param = keys
    request.raw_input_contents.extend(contents)
    return request


@given(requests, st.booleans())
def test_the_parts_are_those_of_the_message(facts: tuple[Any, ...], first: bool) -> None:
    """Also where the contents come before the other fields: their order in a message is anybody's choice."""
    request, without = message_of(*facts), message_of(facts[0], facts[1], [], *facts[3:])
    whole, rest = request.SerializeToString(), without.SerializeToString()
    data = whole[len(rest) :] + whole[: len(rest)] if first else whole
    kept, raw = split(memoryview(data))
    assert inference["ModelInferRequest"].FromString(kept) == without
    assert [bytes(part) for part in raw] == facts[2]


@given(requests, st.data())
def test_a_message_that_is_cut_short_is_left_to_its_parser(facts: tuple[Any, ...], data: st.DataObject) -> None:
    whole = message_of(*facts).SerializeToString()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    kept, raw = split(memoryview(cut))
    if raw:
        assert cut.startswith(kept) or kept in cut
    else:
        assert kept == cut or inference["ModelInferRequest"].FromString(kept) == inference["ModelInferRequest"].FromString(cut)


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x3b\x00", b"\x3a\x05abc", b"\x3a"])
def test_what_is_malformed_comes_back_whole(data: bytes) -> None:
    assert split(memoryview(data)) == (data, [])


class Taken:
    """A receiver that keeps what it gets, and a transport that keeps what it is sent."""

    def __init__(self) -> None:
        self.content, self.ended, self.closed = b"", False, False

    def received(self, data: bytes | memoryview, *, end: bool) -> None:
        self.content += data
        self.ended |= end

    def cancelled(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None:
        self.closed = True


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


@given(
    st.lists(st.sampled_from([1, 5, 4_096, 4_097, 16_384]), min_size=1, max_size=6),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=40),
)
def test_frames_are_the_same_wherever_what_is_received_is_cut(sizes: list[int], cuts: list[int]) -> None:
    content = bytes(range(256)) * 512
    sent = [content[i : i + size] for i, size in enumerate(sizes)]
    whole = PREFACE + frame(4, 0, 0) + frame(1, 4, 1, literal(b":method", b"POST"))
    whole += b"".join(frame(0, 0, 1, part) for part in sent) + frame(0, 1, 1)

    async def run() -> Taken:
        taken = Taken()
        connection = Http2Connection(lambda _: lambda _stream: taken, set())
        connection.connection_made(taken)  # type: ignore[arg-type]
        at = place = 0
        while at < len(whole):
            end = at + cuts[place % len(cuts)]
            connection.data_received(whole[at:end])
            at, place = end, place + 1
        return taken

    taken = asyncio.run(run())
    assert (taken.content, taken.ended, taken.closed) == (b"".join(sent), True, False)
