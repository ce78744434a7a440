"""The combinations of trainer, task and kind of input that `matrix` takes through the whole path, as a user would write them.

A trainer is the body of a function `fit(x, y, seed)`, from what the model reads to what it returns, and says how the framework itself
answers: `answer(fitted, x)`. x: the float32 matrix where features are numbers, else a pandas data frame
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BINARY, NUMBER = "binary", "regression"
NUMBERS, TEXTS, EVERYTHING = "numbers", "texts", "everything"
MATRIX, FRAME = "train.features", "train.frame()"

LIGHTGBM = """
    import lightgbm
    parameters = {{"num_leaves": 7, "min_data_in_leaf": 20, "seed": seed, "deterministic": True, "force_row_wise": True, "verbose": -1,
                  "num_threads": 1, "objective": "{objective}"}}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=20)
"""
SKLEARN = """
    from sklearn.{module} import {kind}
    return {kind}({arguments}).fit(x, y)
"""
PIPELINE = """
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import {kind}
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    words = make_column_transformer((OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
                                    ("passthrough", ["price", "hour", "express"]))
    return make_pipeline(words, {kind}(max_iter=20, random_state=seed)).fit(x, y)
"""
ONNX = """
    import onnx
    from onnx import TensorProto, helper
    slope, start = np.polyfit(np.asarray(x[:, 0], float), y, 1)
    nodes = [helper.make_node("Gather", ["features", "first"], ["column"], axis=1),
             helper.make_node("Mul", ["column", "slope"], ["scaled"]),
             helper.make_node("Add", ["scaled", "start"], ["sum"]){more}]
    constants = [helper.make_tensor("first", TensorProto.INT64, [1], [0]), helper.make_tensor("slope", TensorProto.FLOAT, [1], [slope]),
                 helper.make_tensor("start", TensorProto.FLOAT, [1], [start])]
    graph = helper.make_graph(nodes, "model", [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, x.shape[1]])],
                              [helper.make_tensor_value_info("{output}", TensorProto.FLOAT, [None, 1])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
"""
FUNCTION = """
    middle = float(np.mean(y))
    return lambda columns: np.full(len(columns["price"]), middle) + {wave} * np.tanh(np.asarray(columns["price"], float) / 50)
"""
RUN_ONNX = """
    import onnxruntime
    session = onnxruntime.InferenceSession(fitted.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"features": x})[-1][:, -1]
"""
ANSWERS = {
    "predict": "    return fitted.predict(x)\n",
    "probability": "    return fitted.predict_proba(x)[:, -1]\n",
    "onnx": RUN_ONNX,
    "function": '    return fitted({"price": np.asarray(x["price"] if hasattr(x, "columns") else x[:, 0], float)})\n',
}


@dataclass(frozen=True)
class Combination:
    """code: of the error with which it is refused; empty: it must go through"""

    name: str
    task: str
    inputs: str
    fit: str
    answer: str
    trust: bool = False
    code: str = ""

    @property
    def title(self) -> str:
        return f"{self.task}, {self.inputs}, {self.name}"


def combinations() -> Iterator[Combination]:
    yield from _of_numbers()
    yield from _of_other_types()
    yield from _refused()


def _of_numbers() -> Iterator[Combination]:
    for objective in ("binary", "cross_entropy"):
        yield Combination(f"LightGBM {objective}", BINARY, NUMBERS, LIGHTGBM.format(objective=objective), "predict")
    for objective in ("regression", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie"):
        yield Combination(f"LightGBM {objective}", NUMBER, NUMBERS, LIGHTGBM.format(objective=objective), "predict")
    classifier = "\n    import lightgbm\n    return lightgbm.{kind}(n_estimators=20, n_jobs=1, verbose=-1, random_state=seed).fit(x, y)\n"
    yield Combination("LGBMClassifier", BINARY, NUMBERS, classifier.format(kind="LGBMClassifier"), "probability")
    yield Combination("LGBMRegressor", NUMBER, NUMBERS, classifier.format(kind="LGBMRegressor"), "predict")
    linear = LIGHTGBM.replace('"verbose": -1', '"verbose": -1, "linear_tree": True')
    yield Combination("LightGBM with linear trees", BINARY, NUMBERS, linear.format(objective="binary"), "predict")
    yield Combination("LightGBM with linear trees", NUMBER, NUMBERS, linear.format(objective="regression"), "predict")
    for module, kind, arguments in (
        ("linear_model", "LogisticRegression", "max_iter=1000"),
        ("ensemble", "RandomForestClassifier", "n_estimators=10, random_state=seed"),
        ("ensemble", "HistGradientBoostingClassifier", "max_iter=20, random_state=seed"),
        ("naive_bayes", "GaussianNB", ""),
        ("neighbors", "KNeighborsClassifier", "50"),
    ):
        code = SKLEARN.format(module=module, kind=kind, arguments=arguments)
        yield Combination(kind, BINARY, NUMBERS, code, "probability", trust=True)
    for module, kind, arguments in (
        ("linear_model", "Ridge", ""),
        ("ensemble", "RandomForestRegressor", "n_estimators=10, random_state=seed"),
        ("ensemble", "HistGradientBoostingRegressor", "max_iter=20, random_state=seed"),
        ("neighbors", "KNeighborsRegressor", "50"),
        ("svm", "LinearSVR", "random_state=seed"),
    ):
        code = SKLEARN.format(module=module, kind=kind, arguments=arguments)
        yield Combination(kind, NUMBER, NUMBERS, code, "predict", trust=True)
    logistic = ', helper.make_node("Sigmoid", ["sum"], ["score"])'
    yield Combination("ONNX of one's own", BINARY, NUMBERS, ONNX.format(more=logistic, output="score"), "onnx")
    yield Combination("ONNX of one's own", NUMBER, NUMBERS, ONNX.format(more="", output="sum"), "onnx")


def _of_other_types() -> Iterator[Combination]:
    for inputs in (NUMBERS, TEXTS, EVERYTHING):
        yield Combination("a function", BINARY, inputs, FUNCTION.format(wave="0.1"), "function", trust=True)
        yield Combination("a function", NUMBER, inputs, FUNCTION.format(wave="10.0"), "function", trust=True)
    for inputs in (TEXTS, EVERYTHING):
        boosting = PIPELINE.format(kind="HistGradientBoostingClassifier")
        yield Combination("a pipeline of mixed types", BINARY, inputs, boosting, "probability", trust=True)
        boosting = PIPELINE.format(kind="HistGradientBoostingRegressor")
        yield Combination("a pipeline of mixed types", NUMBER, inputs, boosting, "predict", trust=True)


def _refused() -> Iterator[Combination]:
    ridge = SKLEARN.format(module="linear_model", kind="Ridge", arguments="")
    yield Combination("a pickle without trust", NUMBER, NUMBERS, ridge, "predict", code="NR-303")
    yield Combination("a number for a probability", BINARY, NUMBERS, ridge, "predict", trust=True, code="NR-303")
    several = LIGHTGBM.replace('"num_threads": 1', '"num_threads": 1, "num_class": 3').format(objective="multiclass")
    several = several.replace("lightgbm.Dataset(x, y)", "lightgbm.Dataset(x, y % 3 // 1)")
    yield Combination("three classes", NUMBER, NUMBERS, several, "predict", code="NR-303")
    yield Combination("nothing", BINARY, NUMBERS, "    return None\n", "predict", trust=True, code="NR-303")
    unknown = "    return lambda columns: np.full(len(columns['price']), np.nan)\n"
    yield Combination("answers that are not known", NUMBER, TEXTS, unknown, "function", trust=True, code="NR-303")
    short = "    return lambda columns: np.zeros(1)\n"
    yield Combination("an answer too few", NUMBER, TEXTS, short, "function", trust=True, code="NR-303")
    batch = "    return lambda columns: np.asarray(columns['price'], float) - np.mean(columns['price'])\n"
    yield Combination("answers that depend on the batch", NUMBER, TEXTS, batch, "function", trust=True, code="NR-303")
    matrix = "    return x.features\n"
    yield Combination("a trainer that raises", NUMBER, TEXTS, matrix, "function", trust=True, code="NR-310")
