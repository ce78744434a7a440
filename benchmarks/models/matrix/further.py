"""Combinations of images, of texts, of quantiles and of forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.models.matrix.kinds import (
    BINARY,
    BOTH,
    FORECAST,
    FORECAST_QUANTILES,
    IMAGES,
    NOTES,
    NUMBER,
    NUMBERS,
    QUANTILES,
    TEXTS,
    Combination,
)

CNN = """
    import torch
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    class Looking(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                            torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 1))
        def forward(self, photo):
            return {last}
    model, truth = Looking(), torch.tensor(y, dtype=torch.float32)
    steps = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        steps.zero_grad()
        {loss}(model(torch.from_numpy(x)), truth).backward()
        steps.step()
    return model.eval()
"""
SEEN = "self.seen(photo.permute(0, 3, 1, 2).float() / 64 - 1).squeeze(1)"
CONVOLUTION = """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    slope, start = np.polyfit(x.reshape(len(x), -1).mean(axis=1, dtype=float), y, 1)
    constants = [numpy_helper.from_array(np.full((1, 3, 3, 3), 1 / 27, np.float32), "kernel"),
                 *(numpy_helper.from_array(np.array([value], np.float32), name) for name, value in (("slope", slope), ("start", start)))]
    constants += [numpy_helper.from_array(np.float32(value), name) for name, value in (("least", 0.01), ("most", 0.99))]
    nodes = [helper.make_node("Cast", ["photo"], ["wide"], to=TensorProto.FLOAT),
             helper.make_node("Transpose", ["wide"], ["planes"], perm=[0, 3, 1, 2]),
             helper.make_node("Conv", ["planes", "kernel"], ["blurred"]), helper.make_node("Relu", ["blurred"], ["positive"]),
             helper.make_node("GlobalAveragePool", ["positive"], ["light"]), helper.make_node("Flatten", ["light"], ["flat"]),
             helper.make_node("Mul", ["flat", "slope"], ["scaled"]), helper.make_node("Add", ["scaled", "start"], ["sum"]){more}]
    graph = helper.make_graph(nodes, "looking", [helper.make_tensor_value_info("photo", TensorProto.UINT8, [None, 8, 8, 3])],
                              [helper.make_tensor_value_info("{output}", TensorProto.FLOAT, [None, 1])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
"""
BRIGHTNESS = """
    from sklearn.linear_model import {kind}
    light = x.reshape(len(x), -1).mean(axis=1, dtype=float)
    line = {kind}().fit(light[:, None], y)
    def looked(columns):
        photos = np.array(columns["photo"].to_pylist(), np.uint8).reshape(-1, 192)
        return line.{method}(photos.mean(axis=1, dtype=float)[:, None]){last}
    return looked
"""
LOOKED = """
    import pyarrow as pa
    photos = x if isinstance(x, np.ndarray) else np.array([np.asarray(each.tolist(), np.uint8) for each in x["photo"]])
    return fitted({"photo": pa.array(photos.reshape(len(photos), -1).tolist()), "price": None if photos is x else x["price"].to_numpy()})
"""
FRAMED = """
    line = np.polyfit(x["price"].to_numpy(float), y, 1)
    def looked(columns):
        photos = np.array(columns["photo"].to_pylist(), np.uint8).reshape(-1, 192)
        return np.clip(np.polyval(line, np.asarray(columns["price"], float)) + photos.mean(axis=1) / 1000, 1, None)
    return looked
"""
WORDS = """
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import {vectors}
    from sklearn.linear_model import {kind}
    from sklearn.pipeline import make_pipeline
    return make_pipeline(make_column_transformer(({vectors}({arguments}), "note")), {kind}()).fit(x, y)
"""
LEVELS = "(0.1, 0.5, 0.9)"
BOOSTED = """
    import lightgbm
    parameters = {"num_leaves": 7, "min_data_in_leaf": 20, "seed": seed, "deterministic": True, "force_row_wise": True, "verbose": -1,
                  "num_threads": 1}
"""
OF_LEVELS = (
    BOOSTED
    + """
    return {q: lightgbm.train({**parameters, "objective": "quantile", "alpha": q}, lightgbm.Dataset(x, y), num_boost_round=20)
            for q in (0.1, 0.5, 0.9)}
"""
)
BY_HORIZON = (
    BOOSTED
    + """
    models = {}
    for horizon, outcomes in zip(("1h", "6h"), y.T):
        known = ~np.isnan(outcomes)
        rows = lightgbm.Dataset(x[known], outcomes[known])
        models[horizon] = lightgbm.train({**parameters, "objective": "regression"}, rows, num_boost_round=30)
    return models
"""
)
LEVELS_BY_HORIZON = (
    BOOSTED
    + """
    models = {}
    for horizon, outcomes in zip(("1h", "6h"), y.T):
        known = ~np.isnan(outcomes)
        models[horizon] = {}
        for q in (0.1, 0.9):
            rows = lightgbm.Dataset(x[known], outcomes[known])
            models[horizon][q] = lightgbm.train({**parameters, "objective": "quantile", "alpha": q}, rows, num_boost_round=30)
    return models
"""
)
ESTIMATORS_BY_HORIZON = """
    from sklearn.{module} import {kind}
    models = {{}}
    for horizon, outcomes in zip(("1h", "6h"), y.T):
        known = ~np.isnan(outcomes)
        models[horizon] = {kind}({arguments}).fit(x[known], outcomes[known])
    return models
"""
PIPELINES_BY_HORIZON = """
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    models = {}
    for horizon, outcomes in zip(("1h", "6h"), y.T):
        known = ~np.isnan(outcomes)
        words = make_column_transformer((OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
                                        ("passthrough", ["price", "hour", "express"]))
        models[horizon] = make_pipeline(words, Ridge()).fit(x[known], outcomes[known])
    return models
"""
FURTHER_ANSWERS = {
    "photo onnx": """
    import onnxruntime
    session = onnxruntime.InferenceSession(fitted.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"photo": x})[-1][:, -1]
""",
    "photo torch": "    import torch\n    return fitted(torch.from_numpy(x)).detach().numpy()\n",
    "photo function": LOOKED,
    "nothing": "    return np.zeros(len(x))\n",
    "each of a dict": "    return np.column_stack([each.predict(x) for each in fitted.values()])\n",
    "each of dicts": "    return np.column_stack([each.predict(x) for inner in fitted.values() for each in inner.values()])\n",
    "by level": """
    found = fitted({"price": x["price"].to_numpy()})
    return np.column_stack([found[q] for q in (0.1, 0.5, 0.9)])
""",
    "by horizon": '    return np.column_stack(list(fitted({"price": x["price"].to_numpy()}).values()))\n',
}


def further() -> Iterator[Combination]:
    yield from _of_images()
    yield from _of_notes()
    yield from _of_quantiles()
    yield from _of_forecasts()
    yield from _refused()


def _of_images() -> Iterator[Combination]:
    probable = {"last": f"torch.sigmoid({SEEN})", "loss": "torch.nn.functional.binary_cross_entropy"}
    number = {"last": f"60 + 10 * {SEEN}", "loss": "torch.nn.functional.l1_loss"}
    yield Combination("a CNN of PyTorch", BINARY, IMAGES, CNN.format(**probable), "photo torch", peer="torch")
    yield Combination("a CNN of PyTorch", NUMBER, IMAGES, CNN.format(**number), "photo torch", peer="torch")
    probability = {"more": ', helper.make_node("Clip", ["sum", "least", "most"], ["score"])', "output": "score"}
    yield Combination("ONNX of one's own", BINARY, IMAGES, CONVOLUTION.format(**probability), "photo onnx")
    yield Combination("ONNX of one's own", NUMBER, IMAGES, CONVOLUTION.format(more="", output="sum"), "photo onnx")
    brightness = BRIGHTNESS.format(kind="LogisticRegression", method="predict_proba", last="[:, 1]")
    yield Combination("a function of pixels", BINARY, IMAGES, brightness, "photo function", trust=True)
    yield Combination("a function of pixels and a price", NUMBER, BOTH, FRAMED, "photo function", trust=True)


def _of_notes() -> Iterator[Combination]:
    for kind, line, answer in ((BINARY, "LogisticRegression", "probability"), (NUMBER, "Ridge", "predict")):
        for vectors, arguments in (
            ("TfidfVectorizer", "norm=None"),
            ("CountVectorizer", ""),
            ("HashingVectorizer", "n_features=64, norm=None"),
        ):
            code = WORDS.format(vectors=vectors, kind=line, arguments=arguments)
            yield Combination(vectors, kind, NOTES, code, answer, trust=True)


def _of_quantiles() -> Iterator[Combination]:
    yield Combination("LightGBM of each", QUANTILES, NUMBERS, OF_LEVELS, "each of a dict")
    for module, kind, arguments in (
        ("ensemble", "HistGradientBoostingRegressor", 'loss="quantile", quantile=q, max_iter=20, random_state=seed'),
        ("linear_model", "QuantileRegressor", "quantile=q, alpha=0"),
    ):
        code = f"\n    from sklearn.{module} import {kind}\n    return {{q: {kind}({arguments}).fit(x, y) for q in {LEVELS}}}\n"
        yield Combination(f"{kind} of each", QUANTILES, NUMBERS, code, "each of a dict", trust=True)
    wave = """
    low, middle, high = np.quantile(y, (0.1, 0.5, 0.9))
    def spread(columns):
        price = np.asarray(columns["price"], float)
        return {0.5: middle + np.tanh(price / 50), 0.1: low + 0 * price, 0.9: high + price / 100}
    return spread
"""
    yield Combination("a function by quantile", QUANTILES, TEXTS, wave, "by level", trust=True)


def _of_forecasts() -> Iterator[Combination]:
    yield Combination("LightGBM of each horizon", FORECAST, NUMBERS, BY_HORIZON, "each of a dict")
    yield Combination("LightGBM of each horizon", FORECAST_QUANTILES, NUMBERS, LEVELS_BY_HORIZON, "each of dicts")
    for module, kind, arguments in (
        ("linear_model", "Ridge", ""),
        ("ensemble", "HistGradientBoostingRegressor", "max_iter=20, random_state=seed"),
        ("neighbors", "KNeighborsRegressor", "50"),
    ):
        code = ESTIMATORS_BY_HORIZON.format(module=module, kind=kind, arguments=arguments)
        yield Combination(f"{kind} of each horizon", FORECAST, NUMBERS, code, "each of a dict", trust=True)
    yield Combination("a pipeline of mixed types of each horizon", FORECAST, TEXTS, PIPELINES_BY_HORIZON, "each of a dict", trust=True)
    function = """
    lines = {}
    for horizon, outcomes in zip(("1h", "6h"), y.T):
        known = ~np.isnan(outcomes)
        lines[horizon] = np.polyfit(x["price"].to_numpy(float)[known], outcomes[known], 1)
    return lambda columns: {horizon: np.polyval(line, np.asarray(columns["price"], float)) for horizon, line in lines.items()}
"""
    yield Combination("a function by horizon", FORECAST, TEXTS, function, "by horizon", trust=True)


def _refused() -> Iterator[Combination]:
    lacking = OF_LEVELS.replace("for q in (0.1, 0.5, 0.9)", "for q in (0.1, 0.9)")
    yield Combination("a quantile too few", QUANTILES, NUMBERS, lacking, "each of a dict", code="NR-303")
    no_time = replace(FORECAST, key='"order_id"', label='"days"')
    yield Combination("a series without a time in its key", no_time, NUMBERS, BY_HORIZON, "each of a dict", code="NR-250")
    too_far = replace(FORECAST, task='nr.Forecast(horizons=("1h", "36h"))')
    yield Combination("a horizon beyond maturity", too_far, NUMBERS, BY_HORIZON, "each of a dict", code="NR-251")
    other = CONVOLUTION.format(more="", output="sum").replace("[None, 8, 8, 3]", "[None, 192]").replace("perm=[0, 3, 1, 2]", "perm=[1, 0]")
    yield Combination("a graph of images of another rank", NUMBER, IMAGES, other, "nothing", code="NR-302")
