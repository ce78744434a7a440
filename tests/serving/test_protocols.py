"""Bodies from outside: Arrow streams and what the clouds' platforms send. Fuzzed: a `BadRequest` or rows, nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.settings import ServingSettings
from noria.core.signature import Signature
from noria.serving.protocol.arrow import read_rows, write_answer
from noria.serving.protocol.clouds import BadContract, contract, on_platform, read_instances
from noria.serving.protocol.request import MAX_ROWS, BadRequest, PredictRequest, rows_of

FEATURES = ("a", "b")
FIELDS = Signature.of_numbers(FEATURES).inputs


def block(asked: PredictRequest) -> np.ndarray:
    return rows_of([asked], FIELDS).block


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_an_arrow_stream_is_rows_in_any_order_of_columns_and_any_kind_of_number() -> None:
    table = pa.table({"b": pa.array([1, None], pa.int64()), "_key": ["x", None], "a": pa.array([math.nan, 0.5])})
    asked = read_rows(stream(table), FIELDS)
    assert asked.keys == ["x", None]
    np.testing.assert_array_equal(block(asked), np.array([[np.nan, 1.0], [0.5, np.nan]], np.float32))


GOOD = pa.table({"a": [0.5, 1.5], "b": [1.0, 2.0]})
BAD_STREAMS = [
    ("no stream", b"PAR1 and so on", "not an Arrow IPC stream"),
    ("nothing", b"", "not an Arrow IPC stream"),
    ("cut short", stream(GOOD)[:-60], "not an Arrow IPC stream"),
    ("compressed", stream(GOOD, compression="zstd"), "compressed"),
    ("a missing column", stream(GOOD.select(["a"])), "'b' is missing"),
    ("an unknown column", stream(GOOD.append_column("c", pa.array([1.0, 2.0]))), "no feature 'c'"),
    ("text", stream(GOOD.set_column(1, "b", pa.array(["x", "y"]))), "'b' is string"),
    ("a dictionary", stream(GOOD.set_column(1, "b", pa.array(["x", "y"]).dictionary_encode())), "'b' is dictionary|dictionary encoding"),
    ("no rows", stream(GOOD.slice(0, 0)), "no row"),
    ("too many rows", stream(pa.table({n: np.zeros(MAX_ROWS + 1) for n in FEATURES})), "too many"),
    ("rows that cost nothing", stream(pa.table({n: pa.nulls(1 << 30) for n in FEATURES})), "too many"),
    ("a key that is a number", stream(GOOD.append_column("_key", pa.array([1, 2]))), "_key"),
]


@pytest.mark.parametrize(("body", "words"), [b[1:] for b in BAD_STREAMS], ids=[b[0] for b in BAD_STREAMS])
def test_bad_arrow_streams_are_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_rows(body, FIELDS)


WHOLE = [stream(GOOD), stream(GOOD, compression="lz4"), stream(GOOD.append_column("_key", pa.array(["x", "y"])))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 2000))
def test_a_mutated_arrow_stream_is_refused_or_read(whole: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    body = bytes(data[: cut % len(data)]) if cut % 3 == 0 else bytes(data)
    try:
        asked = read_rows(body, FIELDS)
    except BadRequest:
        return
    assert 0 < len(asked) <= MAX_ROWS
    assert block(asked).shape == (len(asked), 2)


def test_an_arrow_answer_says_who_gave_it() -> None:
    with pa.ipc.open_stream(write_answer("m", "b", [0.5], ["i"], "default")) as reader:
        table = reader.read_all()
    assert table.to_pylist() == [{"prediction": 0.5, "id": "i"}]
    assert table.schema.metadata == {b"model": b"m", b"bundle": b"b", b"fallback": b"default"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"instances": [{"b": 2, "a": 1.5}, {"a": null, "b": 0}]}', ""),
        (b'{"instances": [[1.5, 2], [null, 0]], "parameters": {"x": 1}}', "application/json"),
        (b"[[1.5, 2], [null, 0]]", ""),
        (b'{"data": [{"a": 1.5, "b": 2}, [null, 0]]}', ""),
        (b"1.5,2\r\n\r\n,0\n", "text/csv; charset=utf-8"),
    ],
    ids=["objects", "lists", "a bare list", "data, mixed", "csv"],
)
def test_what_platforms_send_are_the_same_rows(body: bytes, content_type: str) -> None:
    asked = read_instances(body, FIELDS, content_type)
    np.testing.assert_array_equal(block(asked), np.array([[1.5, 2.0], [np.nan, 0.0]], np.float32))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c", "instances", "rows"]), inner, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(json_values.map(lambda v: json.dumps({"instances": v}).encode()), st.binary(max_size=60)), st.sampled_from(["", "text/csv"])
)
def test_whatever_a_platform_sends_is_refused_or_read(body: bytes, content_type: str) -> None:
    try:
        asked = read_instances(body, FIELDS, content_type)
    except BadRequest:
        return
    assert block(asked).shape == (len(asked), 2)


def test_one_image_finds_out_where_it_runs() -> None:
    vertex = {"AIP_MODE": "PREDICTION", "AIP_HTTP_PORT": "9000", "AIP_HEALTH_ROUTE": "/h", "AIP_PREDICT_ROUTE": "/v1/e/1:predict"}
    found = [contract("auto", environ) for environ in ({}, vertex, {"AZUREML_MODEL_DIR": "/m"})]
    assert [(c.platform, c.port, c.health, c.predict) for c in found if c] == [
        ("sagemaker", 8080, "/ping", "/invocations"),
        ("vertex", 9000, "/h", "/v1/e/1:predict"),
        ("azure", 5001, "/", "/score"),
    ]
    assert contract("none", vertex) is None
    listening = on_platform(ServingSettings(platform="auto"), vertex)
    assert (listening.host, listening.port, listening.platform) == ("0.0.0.0", 9000, "vertex")
    assert on_platform(ServingSettings(platform="azure", port=7000), {}).port == 7000
    assert on_platform(ServingSettings(), vertex).host == "127.0.0.1"
    for name, value in (("AIP_HTTP_PORT", "80a"), ("AIP_PREDICT_ROUTE", "predict"), ("AIP_HEALTH_ROUTE", "/<x>")):
        with pytest.raises(BadContract, match=name):
            contract("vertex", {**vertex, name: value})
