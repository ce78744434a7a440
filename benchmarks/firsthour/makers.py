"""Twelve model files of eleven frameworks, with rows and what their frameworks answer. Run in an environment that has these:
`python -m benchmarks.firsthour.makers FOLDER [MAKER …]`, which writes `asks.json` beside the files."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 40
NAMES = ("age", "income", "visits", "score")
RNG = np.random.default_rng(7)
X = RNG.normal(size=(600, len(NAMES))).astype(np.float32)
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
ASKED = X[:ROWS]

SCORING = """
import numpy as np

WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25])
inputs = {name: "float32" for name in ("age", "income", "visits", "score")}


class Model:
    def predict(self, columns):
        return 1 / (1 + np.exp(-columns.block @ WEIGHTS))
"""


def named(rows: Any = ASKED) -> list[dict[str, float]]:
    return [dict(zip(NAMES, map(float, row), strict=True)) for row in rows]


def ask(name: str, argument: str, rows: list[Any], expected: Any, *options: str, python: bool = False) -> dict[str, Any]:
    """One model file. rows: of plain JSON; expected: the numbers of each row's answer, in the order of its JSON"""
    answers = [np.atleast_1d(np.asarray(each, float)).ravel().tolist() for each in expected]
    return {"name": name, "argument": argument, "rows": rows, "expected": answers, "options": options, "python": python}


def onnx_of_scikit_learn(folder: Path) -> dict[str, Any]:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    (folder / "pipeline.onnx").write_bytes(to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString())
    rows = [{"X": row.tolist()} for row in ASKED]
    return ask("ONNX of skl2onnx", "pipeline.onnx", rows, np.column_stack([model.predict(ASKED), model.predict_proba(ASKED)]))


def onnx_of_lightgbm(folder: Path) -> dict[str, Any]:
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = lightgbm.LGBMRegressor(n_estimators=40, verbose=-1).fit(X, X[:, 0] * X[:, 1])
    found = convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, len(NAMES)]))], target_opset=15)
    (folder / "lightgbm.onnx").write_bytes(found.SerializeToString())
    rows = [{"input": row.tolist()} for row in ASKED]
    return ask("ONNX of LightGBM", "lightgbm.onnx", rows, model.predict(ASKED))


def onnx_of_xgboost(folder: Path) -> dict[str, Any]:
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = xgboost.XGBClassifier(n_estimators=30).fit(X, Y)
    found = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, len(NAMES)]))], target_opset=15)
    (folder / "xgboost.onnx").write_bytes(found.SerializeToString())
    write_sample(folder)
    return ask(
        "ONNX of XGBoost", "xgboost.onnx", named(), model.predict_proba(ASKED)[:, 1], "--task", "binary", "--sample", "sample.parquet"
    )


def write_sample(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: X[:, place] for place, name in enumerate(NAMES)}), folder / "sample.parquet")


def onnx_of_torch(folder: Path) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(392, 5)]
    model = torch.nn.Sequential(*layers).eval()
    images = RNG.normal(size=(4, 3, 16, 16)).astype(np.float32)
    axes = {"image": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(
        model,
        (torch.tensor(images),),
        folder / "torch.onnx",
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes=axes,
        dynamo=False,
    )
    with torch.inference_mode():
        expected = model(torch.tensor(images)).numpy()
    return ask("ONNX of PyTorch", "torch.onnx", [{"image": image.tolist()} for image in images], expected)


def onnx_by_hand(folder: Path) -> dict[str, Any]:
    """A graph of two inputs of other types, one with a free size: the mean of a list, times a whole number; and its maximum."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["times"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["mean", "factor"], ["product"]),
        helper.make_node("ReduceMax", ["values"], ["highest"], axes=[1], keepdims=0),
    ]
    inputs = [("values", TensorProto.FLOAT, ["rows", "many"]), ("times", TensorProto.INT64, ["rows"])]
    outputs = [("product", TensorProto.FLOAT, ["rows"]), ("highest", TensorProto.FLOAT, ["rows"])]
    graph = helper.make_graph(
        nodes,
        "hand",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    (folder / "hand.onnx").write_bytes(model.SerializeToString())
    lists = [RNG.normal(size=3 + place % 3).astype(np.float32) for place in range(9)]
    rows = [{"values": each.tolist(), "times": place} for place, each in enumerate(lists)]
    return ask("ONNX made by hand", "hand.onnx", rows, [(each.mean() * place, each.max()) for place, each in enumerate(lists)])


def skops_file(folder: Path) -> dict[str, Any]:
    import pandas as pd
    import skops.io
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(30, random_state=0).fit(pd.DataFrame(X, columns=NAMES), np.array(["no", "yes"])[Y])
    skops.io.dump(model, folder / "forest.skops")
    return ask("skops", "forest.skops", named(), model.predict_proba(pd.DataFrame(ASKED, columns=NAMES)), "--trust", python=True)


def mlflow_of_scikit_learn(folder: Path) -> dict[str, Any]:
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.ensemble import GradientBoostingRegressor

    frame = pd.DataFrame(X, columns=NAMES)
    model = GradientBoostingRegressor(random_state=0).fit(frame, X[:, 0] - X[:, 3])
    signature = infer_signature(frame, model.predict(frame))
    mlflow.sklearn.save_model(model, str(folder / "mlflow-sklearn"), signature=signature, serialization_format="cloudpickle")
    expected = model.predict(frame[:ROWS])
    return ask("MLflow of scikit-learn", "mlflow-sklearn", named(), expected, "--trust", python=True)


def mlflow_python_function(folder: Path) -> dict[str, Any]:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Sums(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
            return pd.DataFrame({"sum": model_input.sum(axis=1), "product": model_input.prod(axis=1)})

    frame = pd.DataFrame(X.astype(np.float64), columns=NAMES)
    answers = Sums().predict(None, frame)
    mlflow.pyfunc.save_model(str(folder / "mlflow-pyfunc"), python_model=Sums(), signature=infer_signature(frame, answers))
    return ask("MLflow python_function", "mlflow-pyfunc", named(), answers[:ROWS].to_numpy(), "--trust", python=True)


def python_class(folder: Path) -> dict[str, Any]:
    (folder / "scoring.py").write_text(SCORING)
    expected = 1 / (1 + np.exp(-ASKED @ np.array([0.5, -1.0, 2.0, 0.25])))
    return ask("Python class", "scoring.py", named(), expected, "--task", "binary", "--trust", python=True)


def hugging_face(folder: Path) -> dict[str, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    letters = [chr(97 + place) for place in range(26)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), ",", "quick", "brown", "warm"]
    vocabulary = {word: place for place, word in enumerate(words)}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64)
    labels = {0: "bad", 1: "fine", 2: "great"}
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = BertConfig(vocab_size=len(vocabulary), id2label=labels, label2id={name: place for place, name in labels.items()}, **size)
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder / "reviews")
    tokenizer.save_pretrained(folder / "reviews")
    texts = ["a", "good morning", "the quick brown fox", "it fits, and it is warm", "warm " * 100]
    with torch.inference_mode():
        expected = [model(**tokenizer(text, return_tensors="pt", truncation=True)).logits.softmax(1)[0].numpy() for text in texts]
    return ask("Hugging Face", "reviews", [{"text": text} for text in texts], expected, python=True)


def catboost_file(folder: Path) -> dict[str, Any]:
    """Of numbers and a category, which ONNX has no form for."""
    import pandas as pd
    from catboost import CatBoostClassifier

    cities = np.array(["oslo", "rome", "lima"])
    frame = pd.DataFrame(X, columns=NAMES).assign(city=cities[np.arange(len(X)) % 3])
    model = CatBoostClassifier(iterations=40, verbose=False, allow_writing_files=False, thread_count=1, cat_features=["city"])
    model.fit(frame, (X[:, 0] + (frame["city"] == "rome") > 0).astype(int))
    model.save_model(str(folder / "catboost.cbm"))
    rows = [{**row, "city": city} for row, city in zip(named(), frame["city"][:ROWS], strict=True)]
    return ask("CatBoost", "catboost.cbm", rows, model.predict_proba(frame[:ROWS])[:, 1], python=True)


def keras_file(folder: Path) -> dict[str, Any]:
    import keras

    keras.utils.set_random_seed(0)
    ends = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((len(NAMES),), name="features"), *ends])
    model.save(folder / "net.keras")
    write_sample(folder)
    expected = np.asarray(model(ASKED, training=False))
    return ask("Keras", "net.keras", named(), expected, "--task", "binary", "--sample", "sample.parquet", python=True)


MAKERS = (
    onnx_of_scikit_learn,
    onnx_of_lightgbm,
    onnx_of_xgboost,
    onnx_of_torch,
    onnx_by_hand,
    skops_file,
    mlflow_of_scikit_learn,
    mlflow_python_function,
    python_class,
    hugging_face,
    catboost_file,
    keras_file,
)

if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    warnings.simplefilter("ignore")
    target = Path(sys.argv[1])
    chosen = [make for make in MAKERS if not sys.argv[2:] or make.__name__ in sys.argv[2:]]
    (target / "asks.json").write_text(json.dumps([make(target) for make in chosen]))
