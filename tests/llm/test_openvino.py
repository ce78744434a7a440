"""What OpenVINO runs answers as what ONNX Runtime runs; and graphs that were quantized dynamically answer each text by itself again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string, numpy_helper

from noria.core.errors import NoriaError
from noria.llm.embedding import NoSuchModel, OnnxReranker, OpenVinoEmbedder, OpenVinoReranker, embedder, reranker, reranker_choice, runtimes
from noria.llm.embedding.bert_graph import bert_graph
from noria.llm.embedding.graphs import graph_of
from noria.llm.embedding.reranker_runtimes import measure_rerankers
from noria.llm.embedding.unquantized import is_quantized, unquantized

from .bert_folder import bert_folder

TEXTS = ["w1 w2 w3", "w4", "w5 w6 " * 9, "w7 unknown w8 w9 w10"]


def quantized(graph: bytes, scratch: Path) -> bytes:
    """As models are published."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    (scratch / "full.onnx").write_bytes(graph)
    options = {"DefaultTensorType": TensorProto.FLOAT}  # of what ONNX Runtime's own operators make
    quantization.quantize_dynamic(
        scratch / "full.onnx", scratch / "q8.onnx", weight_type=quantization.QuantType.QInt8, extra_options=options
    )
    return (scratch / "q8.onnx").read_bytes()


def reranker_folder(folder: Path) -> Path:
    """A cross-encoder: its score is the first number of the first token's state."""
    bert_folder(folder)
    model = load_from_string(bert_graph(folder))
    states = model.graph.output[0].name
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (("first", 0), ("of", [0]), ("to", [1]))]
    nodes = [
        helper.make_node("Gather", [states, "first"], ["token"], axis=1),
        helper.make_node("Slice", ["token", "of", "to", "to"], ["score"]),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["texts", 1]))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def test_a_graph_that_was_quantized_multiplies_in_full_numbers_again(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    full, published = bert_graph(folder), quantized(bert_graph(folder), tmp_path)
    assert (is_quantized(full), is_quantized(published)) == (False, True)
    (folder / "model.onnx").write_bytes(published)
    made = graph_of(folder, "float", tmp_path)
    assert not is_quantized(made.read_bytes())
    assert {"MatMul"} <= {node.op_type for node in load_from_string(made.read_bytes()).graph.node}
    assert graph_of(folder, "onnx", tmp_path) == folder / "model.onnx"
    again = runtimes.OnnxEmbedder(folder, graph=made)
    exact = embedder(bert_folder(tmp_path / "exact"), runtime="onnx", cache=tmp_path / "full").embed(TEXTS)
    found = again.embed(TEXTS)
    assert ((found * exact).sum(axis=1) > 0.999).all()  # weights of eight bits
    for text, vector in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(again.embed([text])[0], vector, atol=1e-5)
    with_none = load_from_string(unquantized(full))
    assert [node.op_type for node in with_none.graph.node] == [node.op_type for node in load_from_string(full).graph.node]


def test_a_rerankers_scores_depend_on_their_pair_alone(tmp_path: Path) -> None:
    folder = reranker_folder(tmp_path / "model")
    exact = OnnxReranker(folder).scores("w1 w2", TEXTS)
    (folder / "model.onnx").write_bytes(quantized((folder / "model.onnx").read_bytes(), tmp_path))
    for runtime in ("onnx", "onnx-int8"):
        made = reranker(folder, runtime=runtime, cache=tmp_path / "cache")
        found = made.scores("w1 w2", TEXTS)
        np.testing.assert_allclose(found, exact, atol=0.2)
        np.testing.assert_allclose([made.scores("w1 w2", [text])[0] for text in TEXTS], found, atol=1e-5)
        assert type(made)(**made.arguments()).definition() == made.definition()
    shipped = OnnxReranker(folder)
    alone = [shipped.scores("w1 w2", [text])[0] for text in TEXTS]
    assert not np.allclose(alone, shipped.scores("w1 w2", TEXTS), atol=1e-5)  # which is why


def test_a_rerankers_runtime_is_measured_once_and_one_that_judges_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = reranker_folder(tmp_path / "one"), reranker_folder(tmp_path / "other")
    choice = reranker_choice(folder, tmp_path / "cache")
    assert {each.runtime for each in choice.measured} >= {"onnx", "onnx-int8"}
    monkeypatch.setattr("noria.llm.embedding.reranker_runtimes.measure_rerankers", lambda *_: pytest.fail("it was measured again"))
    assert reranker_choice(folder, tmp_path / "cache") == choice
    monkeypatch.undo()
    model = load_from_string((other / "model.onnx").read_bytes())
    model.graph.node[-1].input[0] = "token_turned"
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Neg", ["token"], ["token_turned"]))
    (other / "model.onnx").write_bytes(model.SerializeToString())
    of = {"onnx": folder, "onnx-int8": other}
    found = measure_rerankers(["onnx", "onnx-int8"], lambda runtime: OnnxReranker(of[runtime]))
    assert [each.refused for each in found] == ["", "other scores"]
    with pytest.raises(NoSuchModel, match="no runtime 'torch'"):
        reranker(folder, runtime="torch")


@pytest.mark.parametrize(("runtime", "exact"), [("openvino", 1e-4), ("openvino-bf16", 2e-2)])
def test_openvino_makes_the_same_vectors(tmp_path: Path, runtime: str, exact: float) -> None:
    pytest.importorskip("openvino")
    folder = bert_folder(tmp_path / "model")
    full = embedder(folder, runtime="onnx", cache=tmp_path).embed(TEXTS)
    made = runtimes.opened(folder, runtime, tmp_path, {})  # type: ignore[arg-type]
    assert isinstance(made, OpenVinoEmbedder)
    assert made.dimension == full.shape[1]
    np.testing.assert_allclose(made.embed(TEXTS), full, atol=exact)
    with ThreadPoolExecutor(4) as threads:  # a request computes one batch at a time
        for vector in threads.map(made.embed_query, [TEXTS[0]] * 20):
            np.testing.assert_allclose(vector, full[0], atol=exact)
    assert type(made)(**made.arguments()).definition() == made.definition()
    assert made.definition()["embedder"] == ("openvino float32" if runtime == "openvino" else "openvino bfloat16")


def test_openvino_judges_alike(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder = reranker_folder(tmp_path / "model")
    made = reranker(folder, runtime="openvino-bf16", cache=tmp_path)
    assert isinstance(made, OpenVinoReranker)
    np.testing.assert_allclose(made.scores("w1", TEXTS), OnnxReranker(folder).scores("w1", TEXTS), atol=0.1)
    assert made.scores("w1", []).tolist() == []


def test_a_graph_that_openvino_can_not_run_is_refused_by_the_measurement(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder = bert_folder(tmp_path / "model")
    broken = bert_folder(tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(NoriaError, match="OpenVINO can't load"):
        OpenVinoEmbedder(broken).embed(TEXTS)
    of = {"onnx": lambda: runtimes.opened(folder, "onnx", tmp_path, {}), "openvino": lambda: OpenVinoEmbedder(broken)}
    found = runtimes.measure(["onnx", "openvino"], lambda runtime: of[runtime]())
    assert [bool(each.refused) for each in found] == [False, True]
