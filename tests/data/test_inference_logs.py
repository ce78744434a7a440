"""Inference logs of other servers become rows; what is no prediction is counted with its reason, and nothing in a line can raise."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import NoriaError
from noria.data.inference_logs import FORMATS, as_table, detected, read_inference_log
from noria.data.inference_logs.cloud_events import cloud_events
from noria.data.inference_logs.sagemaker import sagemaker
from noria.data.inference_logs.triton import triton
from noria.data.reading import read_rows

AT = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)


def captured(inputs: Any, outputs: Any, *, encoding: str = "CSV", kind: str = "text/csv", **about: Any) -> str:
    """A line of SageMaker's data capture."""
    bodies = {
        f"endpoint{name}": {"observedContentType": kind, "mode": name.upper(), "data": data, "encoding": encoding}
        for name, data in (("Input", inputs), ("Output", outputs))
    }
    return json.dumps(
        {"captureData": bodies, "eventMetadata": {"inferenceTime": "2024-05-01T08:30:00Z", "eventId": "e1", **about}, "eventVersion": "0"}
    )


def event(kind: str, data: Any, id: str = "e1", **more: Any) -> str:
    """A CloudEvent as KServe sends it, in structured form."""
    about = {"specversion": "1.0", "id": id, "source": "http://localhost:9081/", "time": "2024-05-01T08:30:00Z"}
    return json.dumps({**about, "type": f"org.kubeflow.serving.inference.{kind}", "inferenceservicename": "loans", "data": data, **more})


@pytest.mark.parametrize(
    ("inputs", "outputs", "asked", "rows"),
    [
        ("1.5,red", "0.25", {}, [{"input_0": 1.5, "input_1": "red", "prediction": 0.25}]),
        (
            "1,2\n3,4\n",
            "0.1\n0.9\n",
            {},
            [{"input_0": 1, "input_1": 2, "prediction": 0.1}, {"input_0": 3, "input_1": 4, "prediction": 0.9}],
        ),
        ("1", "0.2,0.8", {}, [{"input_0": 1, "prediction_0": 0.2, "prediction_1": 0.8}]),
        (
            '{"instances": [{"features": [1, 2]}]}',
            '{"predictions": [{"score": 0.7, "predicted_label": 1}]}',
            {"encoding": "JSON", "kind": "application/json"},
            [{"input_0": 1, "input_1": 2, "prediction": 0.7, "predicted_label": 1}],
        ),
        (
            '{"age": 30, "city": "Rome"}',
            "[0.4]",
            {"encoding": "JSON", "kind": "application/json"},
            [{"age": 30, "city": "Rome", "prediction": 0.4}],
        ),
        (
            base64.b64encode(b"7,8").decode(),
            base64.b64encode(b"0.5").decode(),
            {"encoding": "BASE64"},
            [{"input_0": 7, "input_1": 8, "prediction": 0.5}],
        ),
    ],
)
def test_data_capture_of_sagemaker_becomes_rows(inputs: str, outputs: str, asked: dict[str, str], rows: list[dict[str, Any]]) -> None:
    found = sagemaker([captured(inputs, outputs, inferenceId="i7", **asked)])
    assert found.malformed == 0
    ids = ["i7"] if len(rows) == 1 else [f"i7/{place}" for place in range(len(rows))]
    assert found.rows == [{"at": AT, "id": id, **row} for id, row in zip(ids, rows, strict=True)]


def test_events_of_kserve_are_joined_by_their_id_in_any_order() -> None:
    request = {
        "inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "FP32", "data": [30, 40]},
            {"name": "v", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
        ]
    }
    response = {"model_name": "loans", "outputs": [{"name": "p", "shape": [2], "datatype": "FP32", "data": [0.1, 0.9]}]}
    found = cloud_events([event("response", response), event("request", request), event("request", {"instances": [[1]]}, id="e2")])
    assert found.rows == [
        {"at": AT, "id": "e1/0", "model": "loans", "prediction": 0.1, "age": 30, "v_0": 1, "v_1": 2},
        {"at": AT, "id": "e1/1", "model": "loans", "prediction": 0.9, "age": 40, "v_0": 3, "v_1": 4},
    ]
    assert list(found.reasons.values()) == ["a request without an answer"]


def test_events_with_headers_in_base64_and_of_the_first_protocol_are_read() -> None:
    headers = {"Ce-Id": "e1", "Ce-Time": "2024-05-01T08:30:00Z", "Content-Type": "application/json"}
    lines = [
        json.dumps({"headers": {**headers, "Ce-Type": "io.seldon.serving.inference.request"}, "body": '{"instances": [[1, 2]]}'}),
        json.dumps({"headers": {**headers, "Ce-Type": "io.seldon.serving.inference.response"}, "body": {"predictions": [0.5]}}),
        event("request", None, id="e2", data_base64=base64.b64encode(b'{"instances": [{"a": 1}]}').decode()),
        event("response", {"predictions": ["yes"]}, id="e2"),
    ]
    assert [{name: row[name] for name in row if name not in ("at", "id", "model")} for row in cloud_events(lines).rows] == [
        {"prediction": 0.5, "input_0": 1, "input_1": 2},
        {"prediction": "yes", "a": 1},
    ]


def test_a_trace_of_triton_with_tensors_becomes_rows() -> None:
    trace = [
        {"id": 1, "model_name": "simple", "model_version": 1},
        {"id": 1, "timestamps": [{"name": "REQUEST_START", "ns": 60_000_000_000}]},
        {"id": 1, "activity": "TENSOR_QUEUE_INPUT", "tensor": {"name": "x", "data": "1,2,3,4", "shape": "2,2", "dtype": "INT32"}},
        {"id": 1, "activity": "TENSOR_BACKEND_OUTPUT", "tensor": {"name": "p", "data": "0.25,0.5", "shape": "2,1", "dtype": "FP32"}},
        {"id": 2, "model_name": "simple", "model_version": 1},
    ]
    found = triton([json.dumps(trace)])
    at = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert found.rows == [
        {"id": "1/0", "model": "simple", "at": at, "prediction": 0.25, "x_0": 1, "x_1": 2},
        {"id": "1/1", "model": "simple", "at": at, "prediction": 0.5, "x_0": 3, "x_1": 4},
    ]
    assert found.malformed == 1


def test_malformed_records_are_counted_with_their_reasons_and_keep_no_others() -> None:
    lines = [
        captured("1", "0.5"),
        "{",
        '{"captureData": {}, "eventMetadata": {"inferenceTime": "yesterday"}}',
        captured("1\n2", "0.5"),
        captured("1", base64.b64encode(b"\xff\xfe").decode(), encoding="BASE64"),
        json.dumps({"captureData": {"endpointInput": None, "endpointOutput": None}, "eventMetadata": {"inferenceTime": "2024-05-01"}}),
    ]
    found = sagemaker(lines)
    assert len(found.rows) == 1
    assert found.reasons == {
        2: "no record of data capture",
        3: "no eventMetadata.inferenceTime",
        4: "2 inputs and 1 answers",
        5: "its body is binary",
        6: "an answer was not captured",
    }


def test_files_are_recognized_by_their_records_and_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f"{captured('1', '0.5')}\n{captured('2', '0.6')}\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(captured("3", "0.7").encode()))
    found = read_rows(str(tmp_path / "*"), Path())
    assert found.rows.column("prediction").to_pylist() == [0.5, 0.6, 0.7]
    assert str(found.rows.schema.field("at").type) == "timestamp[us, tz=UTC]"
    (tmp_path / "c.json").write_text('{"at": "2024-05-01T08:30:00Z", "p": 0.5}\n')
    assert read_rows(str(tmp_path / "c.json"), Path()).rows.column_names == ["at", "p"]
    assert detected([event("request", {}), event("response", {})]) == "kserve"
    assert detected([captured("1", "1"), "{}"]) is None


def test_a_format_that_is_not_known_or_not_the_files_own_is_refused() -> None:
    for format, words in (("sagemakr", "did you mean 'sagemaker'?"), ("kserve", "no record is a prediction")):
        with pytest.raises(NoriaError) as refused:
            read_inference_log([captured("1", "1")], format, "a file")
        assert refused.value.code == "NR-583"
        assert words in refused.value.what


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["1,2\n3", "[1", '{"a": [1]}', "MQ==", "2024-01-01"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["inputs", "outputs", "instances", "predictions", "name", "shape", "data", "id", "type", "time", "headers", "body", "activity",
             "tensor", "timestamps", "ns", "dataframe_split", "columns", "features", "at", "encoding", "model_name", "dtype"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
KINDS = st.sampled_from(["org.kubeflow.serving.inference.request", "io.seldon.serving.inference.response", "x"])
RECORDS = st.one_of(
    JSON,
    st.fixed_dictionaries({"type": KINDS, "id": st.sampled_from(["1", 2]), "time": JSON | st.just("2024-05-01"), "data": JSON}),
    st.fixed_dictionaries(
        {
            "captureData": st.fixed_dictionaries(
                {
                    side: JSON
                    | st.fixed_dictionaries(
                        {"data": JSON, "encoding": st.sampled_from(["CSV", "JSON", "BASE64", 3]), "observedContentType": JSON}
                    )
                    for side in ("endpointInput", "endpointOutput")
                }
            ),
            "eventMetadata": st.fixed_dictionaries({"inferenceTime": st.just("2024-05-01T00:00:00Z") | JSON, "eventId": JSON}),
        }
    ),
    st.fixed_dictionaries(
        {"id": st.integers(1, 2), "activity": st.sampled_from(["TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"]), "tensor": JSON}
    ),
    st.fixed_dictionaries({"id": st.integers(1, 2), "timestamps": JSON | st.just([{"ns": 10**9}])}),
)  # fmt: skip


@given(st.lists(RECORDS | st.binary(max_size=20), max_size=4), st.sampled_from(sorted(FORMATS)))
def test_no_line_can_raise_and_every_row_can_be_stored(records: list[Any], format: str) -> None:
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    whole = [json.dumps([each for each in records if not isinstance(each, bytes)]).encode()] if format == "triton" else lines
    for own in (lines, whole):
        found = FORMATS[format](own)
        assert as_table(found.rows).num_rows == len(found.rows)
        assert all(row["at"].tzinfo is not None for row in found.rows)
        detected(own)
