"""Embeddings: the vectors of a graph that is made here, so that each is known; batches, cuts and what is kept change none of them."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from noria.llm.embedding import CachedEmbedder, HashedEmbedder, NotAnEmbedder, OnnxEmbedder, OnnxReranker

WORDS = ["[PAD]", "[CLS]", "[UNK]", "cat", "dog", "tax", "law"]
STATES = np.array([[0, 0, 9], [0, 0, 1], [1, 1, 1], [3, 0, 0], [2, 1, 0], [0, 4, 0], [0, 3, 1]], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that looks each token up in a table."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", pair="[CLS] $A [CLS] $B:1", special_tokens=[("[CLS]", 1)])
    tokenizer.enable_padding(length=64)  # as a folder may ask for, and which would make every text long
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ids, mask = (helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"]) for name in ("input_ids", "attention_mask"))
    out = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "t", 3])
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states"], axis=0)]
    save(tmp_path / "model.onnx", nodes, [ids, mask], [out], [numpy_helper.from_array(STATES, "table")])
    return tmp_path


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: list) -> None:
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def unit(*states: np.ndarray) -> np.ndarray:
    mean = np.mean(states, axis=0)
    return mean / np.linalg.norm(mean)


def test_a_vector_is_the_mean_of_the_tokens_and_does_not_depend_on_the_batch(folder: Path) -> None:
    embedder = OnnxEmbedder(folder)
    texts = ["cat", "dog dog tax", "law", "tax " * 30, "bird"]
    found = embedder.embed(texts)
    assert embedder.dimension == 3
    np.testing.assert_allclose(found[0], unit(STATES[1], STATES[3]), rtol=1e-6)
    np.testing.assert_allclose(found[1], unit(STATES[1], STATES[4], STATES[4], STATES[5]), rtol=1e-6)
    np.testing.assert_allclose(found[4], unit(STATES[1], STATES[2]), rtol=1e-6)
    for place, text in enumerate(texts):
        np.testing.assert_allclose(embedder.embed([text])[0], found[place], rtol=1e-6)
    assert embedder.embed([]).shape == (0, 3)
    assert embedder.truncated == 0


def test_a_text_that_is_too_long_is_cut_and_counted(folder: Path) -> None:
    embedder = OnnxEmbedder(folder, max_tokens=4)
    np.testing.assert_allclose(embedder.embed(["cat cat cat law law", "cat"])[0], embedder.embed(["cat cat cat"])[0], rtol=1e-6)
    assert embedder.truncated == 1


def test_pooling_and_lengths_are_as_the_folder_says(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 3}))
    embedder = OnnxEmbedder(folder, query_prefix="law ")
    np.testing.assert_allclose(embedder.embed(["cat", "tax"]), [unit(STATES[1])] * 2)
    assert embedder.definition() == {**OnnxEmbedder(folder, query_prefix="law ").definition(), "pooling": "cls", "max_tokens": 3}
    assert embedder.definition() != OnnxEmbedder(folder, pooling="mean", query_prefix="law ").definition()
    np.testing.assert_allclose(OnnxEmbedder(folder, pooling="mean", query_prefix="law ").embed_query("cat"), unit(*STATES[[1, 6, 3]]))


def test_a_folder_without_a_model_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAnEmbedder, match=r"there is no tokenizer\.json"):
        OnnxEmbedder(tmp_path / "nothing")
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(NotAnEmbedder, match=r"model\.onnx can't be loaded"):
        OnnxEmbedder(folder).embed(["cat"])


def test_a_reranker_reads_the_question_and_the_text_together(folder: Path) -> None:
    """Its score is how many tokens the text has: those of the second type."""
    kinds = helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, ["b", "t"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 1])
    nodes = [
        helper.make_node("Cast", ["token_type_ids"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f", "axis"], ["logits"]),
    ]
    save(folder / "model.onnx", nodes, [kinds], [out], [numpy_helper.from_array(np.array([1], np.int64), "axis")])
    reranker = OnnxReranker(folder)
    assert reranker.scores("cat dog", ["tax", "tax law law", "law law"]).tolist() == [1, 3, 2]
    assert reranker.scores("cat", []).tolist() == []


def test_what_was_embedded_is_kept_for_the_same_model_only(folder: Path, tmp_path: Path) -> None:
    first = CachedEmbedder(OnnxEmbedder(folder), tmp_path / "kept")
    found = first.embed(["cat", "tax", "cat"])
    assert first.embedded == 2
    again = CachedEmbedder(OnnxEmbedder(folder), tmp_path / "kept")
    np.testing.assert_array_equal(again.embed(["tax", "cat", "law"])[:2], found[[1, 0]])
    assert again.embedded == 1
    other = CachedEmbedder(OnnxEmbedder(folder, pooling="cls"), tmp_path / "kept")
    assert not np.allclose(other.embed(["tax"]), found[1])
    assert other.embedded == 1


def _embed(folder: str, kept: str, number: int) -> None:
    CachedEmbedder(OnnxEmbedder(folder), kept).embed([f"cat {'tax ' * (place % 7)}{number}" for place in range(50)])


def test_several_processes_keep_in_one_folder(folder: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_embed, args=(str(folder), str(tmp_path / "kept"), number)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    after = CachedEmbedder(OnnxEmbedder(folder), tmp_path / "kept")
    after.embed([f"cat {'tax ' * (place % 7)}{number}" for place in range(50) for number in (1, 2)])
    assert after.embedded == 0


def test_threads_share_a_folder_of_kept_embeddings(tmp_path: Path) -> None:
    embedders = [CachedEmbedder(HashedEmbedder(16), tmp_path) for _ in range(4)]
    texts = [[f"text {i} {j % 3}" for j in range(50)] for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda pair: pair[0].embed(pair[1]), zip(embedders, texts, strict=True)))
    for each, some in zip(found, texts, strict=True):
        np.testing.assert_array_equal(each, HashedEmbedder(16).embed(some))
