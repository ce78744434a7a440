"""The combinations of trainer, task and kind of input that `judge` takes through the whole path, as a user would write them.

A trainer is the body of a function `fit(x, y, seed)`, from what the model reads to what it returns, and says how the framework itself
answers: `answer(fitted, x)`. x: the float32 matrix where features are numbers, an array where they are images, else a pandas data frame
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.models.matrix.further import FURTHER_ANSWERS, further
from benchmarks.models.matrix.kinds import (
    BINARY,
    CLASSES,
    EVERYTHING,
    LABELS,
    NUMBER,
    NUMBERS,
    OUTPUTS,
    RANKED,
    TEXTS,
    Combination,
    Kind,
)

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
CLASSIFIERS = (
    ("linear_model", "LogisticRegression", "max_iter=1000"),
    ("ensemble", "RandomForestClassifier", "n_estimators=10, random_state=seed"),
    ("ensemble", "HistGradientBoostingClassifier", "max_iter=20, random_state=seed"),
    ("neighbors", "KNeighborsClassifier", "50"),
)
RANKER = """
    import lightgbm
    ranker = lightgbm.LGBMRanker(objective="{objective}", n_estimators=20, n_jobs=1, verbose=-1, random_state=seed)
    return ranker.fit(x, y, group=np.full(len(y) // 4, 4))
"""
WRAPPED = """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.{module} import {kind}
    return {kind}({inner}).fit(x, y)
"""
TWO_OF_THREE = """
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression(max_iter=1000).fit(x[y != 1], y[y != 1])
"""
BY_NAME = """
    middle = float(np.mean(y[:, 1]))
    def both(columns):
        price = np.asarray(columns["price"], float)
        return {"refund": 30 + 10 * np.tanh(price / 50), "days": np.full(len(price), middle)}
    return both
"""
ANSWERS = {
    **FURTHER_ANSWERS,
    "onnx of several": RUN_ONNX.replace("[-1][:, -1]", "[-1]"),
    "two of three": "    found = fitted.predict_proba(x)\n    return np.column_stack([found[:, 0], np.zeros(len(x)), found[:, 1]])\n",
    "by name": """
    found = fitted({"price": np.asarray(x["price"], float)})
    return np.column_stack([found["refund"], found["days"]])
""",
    "predict": "    return fitted.predict(x)\n",
    "probability": "    return fitted.predict_proba(x)[:, -1]\n",
    "onnx": RUN_ONNX,
    "probabilities": "    return fitted.predict_proba(x)\n",
    "each": "    return np.column_stack([each[:, -1] for each in fitted.predict_proba(x)])\n",
    "function": '    return fitted({"price": np.asarray(x["price"] if hasattr(x, "columns") else x[:, 0], float)})\n',
}


def combinations() -> Iterator[Combination]:
    yield from _of_numbers()
    yield from _of_other_types()
    yield from _of_classes()
    yield from _of_several()
    yield from _of_baskets()
    yield from further()
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


def _of_classes() -> Iterator[Combination]:
    boosting = LIGHTGBM.replace('"num_threads": 1', '"num_threads": 1, "num_class": 3').format(objective="multiclass")
    yield Combination("LightGBM multiclass", CLASSES, NUMBERS, boosting, "predict")
    classifier = (
        "\n    import lightgbm\n    return lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1, random_state=seed).fit(x, y)\n"
    )
    yield Combination("LGBMClassifier", CLASSES, NUMBERS, classifier, "probabilities")
    for module, name, arguments in CLASSIFIERS:
        code = SKLEARN.format(module=module, kind=name, arguments=arguments)
        yield Combination(name, CLASSES, NUMBERS, code, "probabilities", trust=True)
    softmax = ', helper.make_node("MatMul", ["sum", "each"], ["logits"]), helper.make_node("Softmax", ["logits"], ["scores"])'
    own = ONNX.format(more=softmax, output="scores").replace(
        "constants = [", 'constants = [helper.make_tensor("each", TensorProto.FLOAT, [1, 3], [-3.0, 0.0, 3.0]), '
    )
    own = own.replace("[None, 1])]", "[None, 3])]").replace("TensorProto.FLOAT, [1], [start]", "TensorProto.FLOAT, [1], [start - 1]")
    yield Combination("ONNX of one's own", CLASSES, NUMBERS, own, "onnx of several")
    for inputs in (TEXTS, EVERYTHING):
        pipeline = PIPELINE.format(kind="HistGradientBoostingClassifier")
        yield Combination("a pipeline of mixed types", CLASSES, inputs, pipeline, "probabilities", trust=True)
    yield Combination("a classifier that saw two of three classes", CLASSES, NUMBERS, TWO_OF_THREE, "two of three", trust=True)


def _of_several() -> Iterator[Combination]:
    forest = SKLEARN.format(module="ensemble", kind="RandomForestClassifier", arguments="n_estimators=10, random_state=seed")
    yield Combination("RandomForestClassifier", LABELS, NUMBERS, forest, "each", trust=True)
    for name in ("OneVsRestClassifier", "MultiOutputClassifier"):
        module = "multiclass" if name == "OneVsRestClassifier" else "multioutput"
        code = WRAPPED.format(module=module, kind=name, inner="HistGradientBoostingClassifier(max_iter=10, random_state=seed)")
        answer = "probabilities" if name == "OneVsRestClassifier" else "each"
        yield Combination(name, LABELS, NUMBERS, code, answer, trust=True)
    for module, name, arguments in (
        ("ensemble", "RandomForestRegressor", "n_estimators=10, random_state=seed"),
        ("linear_model", "Ridge", ""),
    ):
        yield Combination(name, OUTPUTS, NUMBERS, SKLEARN.format(module=module, kind=name, arguments=arguments), "predict", trust=True)
    inner = "HistGradientBoostingRegressor(max_iter=10, random_state=seed)"
    code = WRAPPED.format(module="multioutput", kind="MultiOutputRegressor", inner=inner)
    yield Combination("MultiOutputRegressor", OUTPUTS, NUMBERS, code, "predict", trust=True)
    yield Combination("a function by name", OUTPUTS, TEXTS, BY_NAME, "by name", trust=True)


def _of_baskets() -> Iterator[Combination]:
    """Rankings of the four orders of a basket."""
    together = LIGHTGBM.replace("lightgbm.Dataset(x, y)", "lightgbm.Dataset(x, y, group=np.full(len(y) // 4, 4))")
    for objective in ("lambdarank", "rank_xendcg"):
        yield Combination(f"LightGBM {objective}", RANKED, NUMBERS, together.format(objective=objective), "predict")
        yield Combination(f"LGBMRanker {objective}", RANKED, NUMBERS, RANKER.format(objective=objective), "predict")
    yield Combination("LightGBM binary", RANKED, NUMBERS, LIGHTGBM.format(objective="binary"), "predict")
    boosting = SKLEARN.format(module="ensemble", kind="HistGradientBoostingRegressor", arguments="max_iter=20, random_state=seed")
    yield Combination("HistGradientBoostingRegressor", RANKED, NUMBERS, boosting, "predict", trust=True)
    regressor = PIPELINE.format(kind="HistGradientBoostingRegressor")
    yield Combination("a pipeline of mixed types", RANKED, TEXTS, regressor, "predict", trust=True)


def _refused() -> Iterator[Combination]:
    ridge = SKLEARN.format(module="linear_model", kind="Ridge", arguments="")
    yield Combination("a pickle without trust", NUMBER, NUMBERS, FUNCTION.format(wave="10.0"), "function", code="NR-303")
    yield Combination("a number for a probability", BINARY, NUMBERS, ridge, "predict", trust=True, code="NR-303")
    classes = SKLEARN.format(module="linear_model", kind="LogisticRegression", arguments="")
    several = LIGHTGBM.replace('"num_threads": 1', '"num_threads": 1, "num_class": 3').format(objective="multiclass")
    several = several.replace("lightgbm.Dataset(x, y)", "lightgbm.Dataset(x, y % 3 // 1)")
    yield Combination("three classes", NUMBER, NUMBERS, several, "predict", code="NR-303")
    against = LIGHTGBM.replace('"num_threads": 1', '"num_threads": 1, "num_class": 3').format(objective="multiclassova")
    yield Combination("chances that do not sum to 1", CLASSES, NUMBERS, against, "predict", code="NR-303")
    two = SKLEARN.format(module="linear_model", kind="LogisticRegression", arguments="").replace("fit(x, y)", "fit(x, y * 2)")
    yield Combination("classes that are numbered otherwise", CLASSES, NUMBERS, two, "probabilities", trust=True, code="NR-303")
    narrow = Kind("multiclass", 'nr.Multiclass(("kept", "exchanged"))', '"fate"', "log_loss", 0.05)
    yield Combination("a class that is not declared", narrow, NUMBERS, classes, "probabilities", trust=True, code="NR-235")
    other = Kind("multilabel", 'nr.Multilabel(("torn", "late"))', '"fate"', "log_loss", 0.05)
    yield Combination("labels that are no lists", other, NUMBERS, classes, "probabilities", trust=True, code="NR-237")
    lacking = Kind("several outputs", OUTPUTS.task, '"refund"', OUTPUTS.metric, 2.0)
    yield Combination("an output without a label", lacking, NUMBERS, ridge, "predict", trust=True, code="NR-239")
    yield Combination(
        "one number for two outputs",
        OUTPUTS,
        TEXTS,
        "    return lambda columns: np.zeros(len(columns['price']))\n",
        "function",
        trust=True,
        code="NR-303",
    )
    yield Combination("nothing", BINARY, NUMBERS, "    return None\n", "nothing", trust=True, code="NR-303")
    unknown = "    return lambda columns: np.full(len(columns['price']), np.nan)\n"
    yield Combination("answers that are not known", NUMBER, TEXTS, unknown, "function", trust=True, code="NR-303")
    short = "    return lambda columns: np.zeros(1)\n"
    yield Combination("an answer too few", NUMBER, TEXTS, short, "function", trust=True, code="NR-303")
    batch = "    return lambda columns: np.asarray(columns['price'], float) - np.mean(columns['price'])\n"
    yield Combination("answers that depend on the batch", NUMBER, TEXTS, batch, "function", trust=True, code="NR-303")
    matrix = "    return x.features\n"
    yield Combination("a trainer that raises", NUMBER, TEXTS, matrix, "function", trust=True, code="NR-310")
