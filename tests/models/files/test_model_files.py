"""Files of every format become bundles that answer as their frameworks do, and whatever is not a model is refused in one clear error."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - the tests write pickles, and see that they are not read
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from noria.core.errors import NoriaError
from noria.core.files import LocalFiles
from noria.data.rows import Rows
from noria.models.bundle import PROFILE_FILE, Bundle, sample_of
from noria.models.files.bundled import bundled
from noria.models.files.content import content_key
from noria.models.files.kinds import is_model_path, read_model
from noria.models.files.port import ReadOptions
from noria.models.files.sample import Sample
from noria.models.runtimes import open_runtime
from noria.models.runtimes.formats import KERAS_FILE
from noria.models.runtimes.keras_files import import_keras, keras_checked
from noria.models.runtimes.port import RuntimeOptions
from noria.profiles.profile import Profile

RNG = np.random.default_rng(5)
X = RNG.normal(size=(200, 3)).astype(np.float32)
Y = (X[:, 0] - X[:, 1] > 0).astype(int)
FILES = LocalFiles()


def bundle_of(path: Path, **asked: Any) -> Bundle:
    """The bundle of a model file."""
    said = ReadOptions(**asked)
    root = path.parent / "bundles"
    root.mkdir(exist_ok=True)
    return bundled(read_model(path, said), "it", "0" * 64, said, root, FILES)


def refused(path: Path, code: str, *words: str, **asked: Any) -> NoriaError:
    """The error that a model file is refused with, which has a code and says these words."""
    with pytest.raises(NoriaError) as found:
        bundle_of(path, **asked)
    told = " ".join(found.value.lines())
    assert found.value.code == code, told
    for word in words:
        assert word in told
    return found.value


def answers(bundle: Bundle, rows: Sequence[Sequence[Any]]) -> list[Any]:
    model = open_runtime(bundle, RuntimeOptions(trust=True))
    try:
        return model.answer(Rows.of_values(bundle.signature.inputs, rows)).listed()
    finally:
        model.close()


def graph(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: Sequence[Any] = (), **more: Any) -> Path:
    """An ONNX file of some nodes, of inputs and outputs as (name, type, shape)."""
    infos = [[helper.make_tensor_value_info(*each) for each in side] for side in (inputs, outputs)]
    made = helper.make_graph(nodes, "model", *infos, list(constants))
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3), *more.pop("opsets", [])]
    save_model(helper.make_model(made, opset_imports=opsets, ir_version=8), str(path), **more)
    return path


def sums(path: Path, rows: Any = "rows", kind: int = TensorProto.FLOAT) -> Path:
    """A graph that answers with the sum of three numbers, and with all of them twice."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0, axes=[1]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    nodes[0] = helper.make_node("ReduceMean", ["x"], ["sum"], keepdims=0, axes=[1])
    return graph(path, nodes, [("x", kind, [rows, 3])], [("sum", kind, [rows]), ("twice", kind, [rows, 3])])


# --- ONNX ----------------------------------------------------------------------------------------------------------------


def test_a_graph_is_served_with_its_own_inputs_and_outputs(tmp_path: Path) -> None:
    bundle = bundle_of(sums(tmp_path / "sums.onnx"))
    assert [field.described for field in bundle.signature.inputs] == ["x: float32[3]"]
    assert [field.described for field in bundle.signature.outputs] == ["sum: float32", "twice: float32[3]"]
    assert answers(bundle, [[[1, 2, 3]], [[0, 0, 6]]]) == [{"sum": 2.0, "twice": [2, 4, 6]}, {"sum": 2.0, "twice": [0, 0, 12]}]
    assert bundle.manifest.task == {"name": "none"}
    assert PROFILE_FILE not in bundle.manifest.files


def test_a_sample_of_tensors_is_lists_by_the_inputs_name(tmp_path: Path) -> None:
    path, rows = sums(tmp_path / "sums.onnx"), tmp_path / "rows.json"
    rows.write_text(json.dumps([{"x": row} for row in X[:40].tolist()]))
    bundle = bundle_of(path, sample=Sample(rows))
    assert sample_of(bundle, FILES)["inputs"][0] == [pytest.approx(X[0].tolist())]
    assert "sum" in Profile.from_json(FILES.read(bundle.file(PROFILE_FILE))).names
    rows.write_text(json.dumps([{"x": [1.0, 2.0]}]))
    refused(path, "NR-574", "2 values", sample=Sample(rows))
    rows.write_text(json.dumps([{"y": [1.0, 2.0, 3.0], "z": 1}]))
    refused(path, "NR-574", "the model reads 3 numbers", sample=Sample(rows))
    rows.write_text("[1, 2")
    refused(path, "NR-574", "Parquet or CSV", sample=Sample(rows))


@pytest.mark.parametrize("rows", [1, 4])
def test_a_graph_of_a_fixed_batch_answers_any_number_of_rows(tmp_path: Path, rows: int) -> None:
    bundle = bundle_of(sums(tmp_path / "fixed.onnx", rows))
    assert [found["sum"] for found in answers(bundle, [[[float(n), 0.0, 0.0]] for n in range(6)])] == pytest.approx(
        [n / 3 for n in range(6)]
    )


def test_halves_are_floats_outside_of_the_graph(tmp_path: Path) -> None:
    bundle = bundle_of(sums(tmp_path / "half.onnx", kind=TensorProto.FLOAT16))
    assert [field.type for field in (*bundle.signature.inputs, *bundle.signature.outputs)] == ["float32"] * 3
    assert answers(bundle, [[[1, 2, 3]]]) == [{"sum": 2.0, "twice": [2, 4, 6]}]


def test_a_graph_with_an_input_for_each_number_and_free_sizes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["total"]),
        helper.make_node("ReduceMax", ["words"], ["highest"], axes=[1], keepdims=0),
    ]
    floats = [(name, TensorProto.FLOAT, [None, 1]) for name in "ab"]
    path = graph(tmp_path / "one.onnx", nodes[:1], floats, [("total", TensorProto.FLOAT, [None, 1])])
    assert answers(bundle_of(path), [[1.0, 2.0], [3.0, 4.0]]) == [3.0, 7.0]
    mixed = [*floats, ("words", TensorProto.INT64, ["rows", "many"])]
    outputs = [("total", TensorProto.FLOAT, [None, 1]), ("highest", TensorProto.INT64, [None])]
    bundle = bundle_of(graph(tmp_path / "mixed.onnx", nodes, mixed, outputs))
    assert bundle.signature.inputs[2].described == "words: int64[any]"
    found = answers(bundle, [[1.0, 2.0, [7, 9]], [1.0, 1.0, [3]], [0.0, 1.0, [1, 5]]])
    assert found == [{"total": 3.0, "highest": 9}, {"total": 2.0, "highest": 3}, {"total": 1.0, "highest": 5}]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic regression as ONNX with and without a map of classes, and as a pickle; and a sample of its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("classifiers")
    fitted = LogisticRegression().fit(X, np.array(["no", "yes"])[Y])
    (folder / "map.onnx").write_bytes(to_onnx(fitted, X[:1]).SerializeToString())
    (folder / "tensor.onnx").write_bytes(to_onnx(fitted, X[:1], options={"zipmap": False}).SerializeToString())
    (folder / "model.pkl").write_bytes(pickle.dumps(fitted))
    pq.write_table(pa.table({name: X[:, place] for place, name in enumerate("abc")}), folder / "rows.parquet")
    (folder / "expected.json").write_text(json.dumps(fitted.predict_proba(X[:4]).tolist()))
    return folder


def test_what_answers_mean_is_said_by_the_graph_or_the_command(classifiers: Path) -> None:
    expected = json.loads((classifiers / "expected.json").read_text())
    rows = [[row.tolist()] for row in X[:4]]
    mapped, told = bundle_of(classifiers / "map.onnx"), bundle_of(classifiers / "tensor.onnx", task="multiclass", classes=("n", "y"))
    assert [list(found.values()) for found in answers(mapped, rows)] == [pytest.approx(row, rel=1e-5) for row in expected]
    assert list(answers(told, rows)[0]) == ["n", "y"]
    assert mapped.manifest.task["classes"] == ["no", "yes"]
    binary = bundle_of(classifiers / "tensor.onnx", task="binary", sample=Sample(classifiers / "rows.parquet"))
    assert answers(binary, X[:4].tolist()) == pytest.approx([row[1] for row in expected], rel=1e-5)
    assert binary.features == ("a", "b", "c")
    assert Profile.from_json(FILES.read(binary.file(PROFILE_FILE))).names == ("a", "b", "c", "prediction")
    assert len(sample_of(binary, FILES)["inputs"]) == 32
    refused(classifiers / "tensor.onnx", "NR-576", "there are 3 classes", "2 numbers", task="multiclass", classes=("a", "b", "c"))
    refused(classifiers / "tensor.onnx", "NR-576", "add --classes", task="multiclass")
    refused(classifiers / "tensor.onnx", "NR-576", "did you mean 'binary'", task="binarry")


def test_what_is_no_graph_is_refused(tmp_path: Path, classifiers: Path) -> None:
    whole = (classifiers / "tensor.onnx").read_bytes()
    for name, content, word in (
        ("cut.onnx", whole[: len(whole) // 2], "copy the whole file"),
        ("empty.onnx", b"", "it is empty"),
        ("pickle.onnx", (classifiers / "model.pkl").read_bytes(), "it is a Python pickle"),
        ("text.onnx", b"hello, I am no model", "export the model again"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "NR-571", word)
    own = [helper.make_node("Mystery", ["x"], ["y"], domain="my.own")]
    side = [("x", TensorProto.FLOAT, [None, 3])], [("y", TensorProto.FLOAT, [None, 3])]
    path = graph(tmp_path / "custom.onnx", own, *side, opsets=[helper.make_opsetid("my.own", 1)])
    refused(path, "NR-571", "operator that ONNX Runtime does not have", "Mystery")
    rank = graph(tmp_path / "vector.onnx", [helper.make_node("Neg", ["x"], ["y"])], *[[(n, TensorProto.FLOAT, [3])] for n in "xy"])
    refused(rank, "NR-575", "no dimension for rows", "dynamic_axes")
    norm = [helper.make_node("ReduceMax", ["x"], ["most"], axes=[0], keepdims=1), helper.make_node("Sub", ["x", "most"], ["y"])]
    refused(graph(tmp_path / "batch.onnx", norm, *side), "NR-575", "depends on the other rows of the batch")


def test_weights_beside_a_graph_are_sealed_with_it(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.full((3, 40), 0.5, np.float32), "weights")
    side = [("x", TensorProto.FLOAT, [None, 3])], [("y", TensorProto.FLOAT, [None, 40])]
    external = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0}
    path = graph(tmp_path / "big.onnx", [helper.make_node("MatMul", ["x", "weights"], ["y"])], *side, [weights], **external)
    assert answers(bundle_of(path), [[[1, 1, 2]]]) == [[2.0] * 40]
    before = content_key(path, "it", ReadOptions()).whole
    (tmp_path / "w.data").write_bytes(bytes(480))
    assert content_key(path, "it", ReadOptions()).whole != before  # other weights are another model
    (tmp_path / "w.data").unlink()
    refused(path, "NR-571", "weights lie in a file of their own", "copy that file beside it")


# --- CatBoost and Keras ---------------------------------------------------------------------------------------------------


def test_what_begins_otherwise_is_no_file_of_catboost_or_keras(tmp_path: Path) -> None:
    (tmp_path / "text.cbm").write_text("tea, milk")
    refused(tmp_path / "text.cbm", "NR-571", "does not begin as CatBoost's own format does")
    (tmp_path / "older.keras").write_bytes(b"\x89HDF\r\n")
    refused(tmp_path / "older.keras", "NR-571", "it is HDF5", ".save('older.keras')")
    with zipfile.ZipFile(tmp_path / "none.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    refused(tmp_path / "none.keras", "NR-571", "no archive with a config.json")


@pytest.mark.parametrize(
    "part",
    [
        {"module": "os", "class_name": "system", "config": "id"},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
        {"module": "keras.layers", "class_name": "deserialize", "config": {}},
        {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": "mine>Dense"},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"module": "keras.config", "class_name": "enable_unsafe_deserialization", "config": {}},
        {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
        {"module": None, "class_name": "mine>Model", "config": {}},
        {"module": ["keras.layers"], "class_name": "Dense"},
        {"module": "keras.layers", "class_name": ["Dense"]},
    ],
)
def test_a_keras_file_that_names_more_than_layers_is_code_wherever_it_does(tmp_path: Path, part: dict[str, Any]) -> None:
    dense = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1, "kernel_initializer": part}, "registered_name": None}
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": [dense]}}))
    refused(tmp_path / "net.keras", "NR-573", "--trust")
    (tmp_path / "net.keras").rename(tmp_path / KERAS_FILE)
    with pytest.raises(ValueError, match="can run code"):
        keras_checked(tmp_path)


def test_a_model_of_catboost_says_what_it_reads_and_predicts(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    import pandas as pd

    few = {"iterations": 5, "verbose": False, "allow_writing_files": False}
    classes = catboost.CatBoostClassifier(**few).fit(X, np.array(["no", "yes", "maybe"])[np.arange(len(X)) % 3])
    classes.save_model(str(tmp_path / "classes.cbm"))
    found = bundle_of(tmp_path / "classes.cbm")
    assert (found.manifest.runtime, found.features) == ("onnx", ("0", "1", "2"))
    assert [list(each.values()) for each in answers(found, X[:3].tolist())] == [
        pytest.approx(row, rel=1e-4) for row in classes.predict_proba(X[:3]).tolist()
    ]
    frame = pd.DataFrame({"size": X[:, 0], "city": np.array(["rome", "oslo"])[Y]})
    typed = catboost.CatBoostRegressor(cat_features=["city"], **few).fit(frame, X[:, 1])
    typed.save_model(str(tmp_path / "typed.cbm"))
    bundle = bundle_of(tmp_path / "typed.cbm")
    assert (bundle.manifest.runtime, bundle.manifest.trust) == ("python", False)
    assert [field.described for field in bundle.signature.inputs] == ["size: float32", "city: string"]
    assert answers(bundle, frame[:5].to_numpy().tolist()) == pytest.approx(typed.predict(frame[:5]).tolist(), rel=1e-6)
    labels = catboost.CatBoostClassifier(loss_function="MultiLogloss", **few).fit(X, np.stack([Y, 1 - Y], axis=1))
    labels.save_model(str(tmp_path / "labels.cbm"))
    refused(tmp_path / "labels.cbm", "NR-572", "MultiLogloss", "--task multilabel")
    bundle = bundle_of(tmp_path / "labels.cbm", task="multilabel", classes=("torn", "late"))
    assert list(answers(bundle, X[:1].tolist())[0].values()) == pytest.approx(labels.predict_proba(X[:1])[0].tolist(), rel=1e-6)
    refused(tmp_path / "typed.cbm", "NR-576", "leave --task out", task="binary")
    (tmp_path / "cut.cbm").write_bytes((tmp_path / "typed.cbm").read_bytes()[:900])
    refused(tmp_path / "cut.cbm", "NR-571", "copy the whole file")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, on the newest numpy
@pytest.mark.skipif(find_spec("keras") is None, reason="Keras is not installed")
def test_a_keras_file_is_read_as_data_unless_it_is_trusted(tmp_path: Path) -> None:
    keras = import_keras()
    layers = keras.layers
    image, more = keras.Input((8, 8, 3), name="image"), keras.Input((1,), name="more")
    kind = layers.Dense(3, activation="softmax", name="kind")(layers.Concatenate()([layers.GlobalAveragePooling2D()(image), more]))
    both = keras.Model([more, image], [kind, layers.Dense(1, name="price")(more)])
    both.save(tmp_path / "both.keras")
    bundle = bundle_of(tmp_path / "both.keras")
    assert (bundle.manifest.runtime, bundle.manifest.trust) == ("python", False)
    assert [field.described for field in bundle.signature.inputs] == ["more: float32", "image: float32[8, 8, 3]"]
    images, prices = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32), np.float32([1, -2])
    kinds, own = (np.asarray(each) for each in both([prices[:, None], images]))
    found = answers(bundle, [[1.0, images[0].tolist()], [-2.0, images[1].tolist()]])
    assert [each["kind"] for each in found] == [pytest.approx(row, abs=1e-6) for row in kinds.tolist()]
    assert [each["price"] for each in found] == pytest.approx(own[:, 0].tolist(), abs=1e-6)
    refused(tmp_path / "both.keras", "NR-576", "kind, price", task="binary")
    chance = keras.Sequential([keras.Input((3,)), layers.Dense(1, activation="sigmoid")])
    chance.save(tmp_path / "chance.keras")
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n0,1,0\n")
    bundle = bundle_of(tmp_path / "chance.keras", task="binary", sample=Sample(tmp_path / "rows.csv"))
    assert bundle.features == ("a", "b", "c")
    assert answers(bundle, X[:4].tolist()) == pytest.approx(np.asarray(chance(X[:4]))[:, 0].tolist(), abs=1e-6)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    refused(tmp_path / "chance.keras", "NR-574", "reads 3 numbers", sample=Sample(tmp_path / "other.csv"))
    keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x * 2)]).save(tmp_path / "own.keras")
    refused(tmp_path / "own.keras", "NR-573", "keras.layers.Lambda", "--trust")
    bundle = bundle_of(tmp_path / "own.keras", trust=True)
    assert bundle.manifest.trust
    assert answers(bundle, [[[1.0, 2.0, 3.0]]]) == [[2.0, 4.0, 6.0]]


# --- boosters and estimators ---------------------------------------------------------------------------------------------


def test_boosters_say_what_they_predict(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    kinds = np.digitize(X[:, 0], [-0.5, 0.5])
    settings = {"verbose": -1, "num_leaves": 4}
    binary = lightgbm.train({"objective": "binary", **settings}, lightgbm.Dataset(X, Y, feature_name=["a", "b", "c"]), 4)
    binary.save_model(tmp_path / "binary.txt")
    classes = xgboost.XGBClassifier(n_estimators=4).fit(X, kinds)
    classes.save_model(tmp_path / "classes.json")
    number = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(X, X[:, 2]), 4)
    number.save_model(tmp_path / "number.ubj")
    rows = X[:20]
    assert answers(bundle_of(tmp_path / "binary.txt"), rows.tolist()) == pytest.approx(binary.predict(rows), rel=1e-5)
    found = bundle_of(tmp_path / "classes.json", classes=("low", "mid", "high"))
    assert found.manifest.runtime == "onnx"
    assert [list(each.values()) for each in answers(found, rows.tolist())] == [
        pytest.approx(row, rel=1e-4) for row in classes.predict_proba(rows).tolist()
    ]
    assert list(answers(found, rows[:1].tolist())[0]) == ["low", "mid", "high"]
    expected = number.predict(xgboost.DMatrix(rows))
    assert answers(bundle_of(tmp_path / "number.ubj"), rows.tolist()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    ranks = xgboost.train({"objective": "survival:cox"}, xgboost.DMatrix(X, Y + 1), 4)
    ranks.save_model(tmp_path / "cox.json")
    refused(tmp_path / "cox.json", "NR-572", "survival:cox", "--task regression")
    found = bundle_of(tmp_path / "cox.json", task="regression")  # by XGBoost itself, from its own file: no code of anybody's
    assert (found.manifest.runtime, found.manifest.trust) == ("python", False)
    assert answers(found, rows[:3].tolist()) == pytest.approx(ranks.predict(xgboost.DMatrix(rows[:3])), rel=1e-6)
    for name, share in (("binary.txt", 3), ("classes.json", 2)):
        cut = tmp_path / f"cut-{name}"
        cut.write_bytes((tmp_path / name).read_bytes()[: (tmp_path / name).stat().st_size // share])
        refused(cut, "NR-571", "can't be read as")
    refused(tmp_path / "binary.txt", "NR-576", "leave --task out", task="multiclass", classes=("a", "b", "c"))
    (tmp_path / "other.csv").write_text("a,b,target\n1,2,3\n")
    refused(tmp_path / "binary.txt", "NR-574", "no column 'c'", sample=Sample(tmp_path / "other.csv"))
    (tmp_path / "notes.txt").write_text("tea, milk")
    refused(tmp_path / "notes.txt", "NR-571", "its first line is not `tree`")


def test_a_pickle_is_read_where_it_is_trusted_alone(tmp_path: Path, classifiers: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "it-ran",)

    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "bomb.skops").write_bytes(pickle.dumps(Bomb()))
    refused(tmp_path / "bomb.pkl", "NR-573", "--trust", "skops")
    refused(tmp_path / "bomb.skops", "NR-571", "it is a Python pickle")
    assert not (tmp_path / "it-ran").exists()
    expected = json.loads((classifiers / "expected.json").read_text())
    bundle = bundle_of(classifiers / "model.pkl", trust=True)
    assert bundle.manifest.runtime == "onnx"
    assert not bundle.manifest.trust
    assert answers(bundle, X[:4].tolist())[0] == pytest.approx({"no": expected[0][0], "yes": expected[0][1]}, rel=1e-5)


def test_columns_of_other_types_need_a_sample(tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 5, "city": ["rome", "oslo", "oslo", "bonn"] * 5})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
    fitted = make_pipeline(encoder, LinearRegression()).fit(frame, frame["size"] * 2)
    (tmp_path / "mixed.pkl").write_bytes(pickle.dumps(fitted))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "rows.json").write_text(frame.to_json(orient="records"))
    refused(tmp_path / "mixed.pkl", "NR-572", "--sample", "texts and numbers", trust=True)
    for name in ("rows.csv", "rows.json"):
        bundle = bundle_of(tmp_path / "mixed.pkl", trust=True, sample=Sample(tmp_path / name))
        assert [field.type for field in bundle.signature.inputs] == ["float64", "string"]
        assert answers(bundle, [[2.5, "oslo"]]) == pytest.approx(fitted.predict(pd.DataFrame({"size": [2.5], "city": ["oslo"]})), rel=1e-5)
    refused(tmp_path / "mixed.pkl", "NR-574", "no such file", trust=True, sample=Sample(tmp_path / "none.csv"))


def test_texts_go_to_a_vectorizer_as_texts(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    fitted = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good day", "bad day", "good"] * 9, [1, 0, 1] * 9)
    (tmp_path / "words.pkl").write_bytes(pickle.dumps(fitted))
    bundle = bundle_of(tmp_path / "words.pkl", trust=True)
    assert [field.described for field in bundle.signature.inputs] == ["text: string"]
    assert answers(bundle, [["a good day"], ["bad"]]) == pytest.approx(fitted.predict_proba(["a good day", "bad"])[:, 1])
    (tmp_path / "empty.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    refused(tmp_path / "empty.pkl", "NR-575", "it is not fitted", trust=True)


# --- folders and Python files --------------------------------------------------------------------------------------------


def test_a_python_file_says_its_inputs_or_a_sample_does(tmp_path: Path) -> None:
    path = tmp_path / "scoring.py"
    path.write_text(
        "import weights\n\nclass Model:\n    def predict(self, columns):\n        return {'twice': columns['a'] * weights.TWO}\n"
    )
    (tmp_path / "weights.py").write_text("TWO = 2\n")
    refused(path, "NR-573", "--trust")
    refused(path, "NR-572", "--sample", "inputs = {", trust=True)
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    bundle = bundle_of(path, trust=True, sample=Sample(tmp_path / "rows.csv"))
    assert bundle.manifest.trust
    assert answers(bundle, [[21.0]]) == [42.0]
    path.write_text("inputs = {'a': 'float32'}\n" + path.read_text().replace("columns['a']", "columns['b']"))
    refused(path, "NR-575", "KeyError", trust=True)
    path.write_text("def oh no")
    refused(path, "NR-571", "line 1", trust=True)


def test_a_folder_is_what_lies_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    refused(folder, "NR-570", "it holds nothing")
    (folder / "factor.json").write_text("3")
    source = "import json\ninputs = {'a': 'float32'}\n\ndef load(folder):\n    factor = json.loads((folder / 'factor.json').read_text())\n"
    (folder / "model.py").write_text(source + "    return lambda columns: columns['a'] * factor\n")
    assert answers(bundle_of(folder, trust=True), [[2.0]]) == [6.0]
    reviews = tmp_path / "reviews"
    reviews.mkdir()
    (reviews / "config.json").write_text(
        json.dumps({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "bad", "1": "good"}})
    )
    refused(reviews, "NR-571", "no weights as safetensors")
    (reviews / "pytorch_model.bin").write_bytes(b"\x80")
    refused(reviews, "NR-571", "pytorch_model.bin", "save_pretrained")
    (reviews / "config.json").write_text(json.dumps({"architectures": ["MyModel"], "auto_map": {"AutoModel": "modeling.MyModel"}}))
    refused(reviews, "NR-575", "code of its own")


def test_a_folder_of_mlflow_is_served_by_the_safest_of_its_formats(tmp_path: Path, classifiers: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    signature = {"inputs": json.dumps([{"type": "double", "name": name} for name in "abc"]), "outputs": None}
    described = {"flavors": {"onnx": {"data": "model.onnx"}, "python_function": {"loader_module": "mlflow.onnx"}}, "signature": signature}
    (folder / "MLmodel").write_text(json.dumps(described))  # JSON is YAML
    refused(folder, "NR-571", "model.onnx is missing")
    (folder / "model.onnx").write_bytes((classifiers / "tensor.onnx").read_bytes())
    bundle = bundle_of(folder, task="binary")
    assert bundle.features == ("a", "b", "c")
    assert not bundle.manifest.trust
    described["flavors"] = {"python_function": {"loader_module": "mine"}}
    (folder / "MLmodel").write_text(json.dumps(described))
    refused(folder, "NR-573", "python_function")
    described["flavors"] = {"onnx": {"data": "../../etc/passwd"}}
    (folder / "MLmodel").write_text(json.dumps(described))
    refused(folder, "NR-571", "is missing")
    (folder / "MLmodel").write_text("flavors: [")
    refused(folder, "NR-571", "YAML")


def test_names_that_are_no_models(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "NR-570", "there is no such file")
    (tmp_path / "net.pt").write_bytes(b"PK")
    refused(tmp_path / "net.pt", "NR-570", "torch.onnx.export")
    for name, words in (("net.pth", "load(folder)"), ("net.h5", "save('model.keras')"), ("net.safetensors", "config.json")):
        (tmp_path / name).write_bytes(b"?")
        refused(tmp_path / name, "NR-570", f"files that end in .{name.partition('.')[2]} are not read", words)
    (tmp_path / "data.xyz").write_bytes(b"?")
    refused(tmp_path / "data.xyz", "NR-570", ".xyz are not read", "give an .onnx")
    assert is_model_path("model.onnx")
    assert is_model_path("mlflow:models:/churn/1")
    assert is_model_path("some/where")
    assert not is_model_path("churn")


def test_skops_files_of_known_types_need_no_trust(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    fitted = LinearRegression().fit(X, X[:, 0] * 2)
    skops.dump(fitted, tmp_path / "line.skops")
    assert answers(bundle_of(tmp_path / "line.skops"), X[:5].tolist()) == pytest.approx(fitted.predict(X[:5]), rel=1e-5, abs=1e-6)
    skops.dump(make_pipeline(FunctionTransformer(np.abs), fitted).fit(X, Y), tmp_path / "python.skops")
    bundle = bundle_of(tmp_path / "python.skops")  # which has no equal in ONNX: the file itself is sealed, and is data
    assert (bundle.manifest.runtime, bundle.manifest.trust) == ("python", False)
    skops.dump(make_pipeline(FunctionTransformer(own_function), fitted).fit(X, Y), tmp_path / "own.skops")
    refused(tmp_path / "own.skops", "NR-573", "own_function")
    (tmp_path / "cut.skops").write_bytes((tmp_path / "line.skops").read_bytes()[:200])
    refused(tmp_path / "cut.skops", "NR-571", "cut off")


def own_function(table: Any) -> Any:
    return table
