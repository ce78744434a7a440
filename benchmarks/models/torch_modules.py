"""Modules of PyTorch through Noria's export, run where PyTorch is: prints how each answers as ONNX, and why others are refused, as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.export import CannotExport, Wanted, export
from noria.models.runtimes.port import RuntimeOptions

NAMES = ("a", "b", "c", "d")
NUMBERS = Signature.of_numbers(NAMES)
PROBABILITY, CALLS = (0.0, 1.0), 200


class Net(torch.nn.Module):
    """Layers of which some answer otherwise in training, and what is made of their sums."""

    def __init__(self, numbers: int, end: Callable[[Any, Any], Any], *, fill: bool = True) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, numbers)
        )
        self.end, self.fill = end, fill

    def forward(self, rows: Any) -> Any:
        return self.end(self.layers(torch.nan_to_num(rows) if self.fill else rows), rows)


class Pictures(torch.nn.Module):
    """Reads a picture, a place and a price."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.last = torch.nn.Embedding(10, 4), torch.nn.Linear(16 + 4 + 1, 1)

    def forward(self, image: Any, place: Any, price: Any) -> Any:
        read = [image.flatten(1), self.places(place.clamp(0, 9)), torch.nan_to_num(price)[:, None]]
        return torch.sigmoid(self.last(torch.cat(read, 1)))


def wanted(*outputs: Field, probable: bool = True, exclusive: bool = False) -> Wanted:
    rows = np.random.default_rng(0).normal(size=(1203, 4)).astype(np.float32)
    rows[::9, 1] = np.nan
    signature = Signature(NUMBERS.inputs, outputs or (SCORE,))
    more: dict[str, Any] = {"bounds": PROBABILITY} if probable else {}
    return Wanted(signature, Rows.dense(signature.inputs, rows), exclusive=exclusive, **more)


def of_pictures() -> Wanted:
    rng = np.random.default_rng(0)
    fields = (Field("image", "float32", (4, 4)), Field("place", "int64"), Field("price"))
    rows = Rows.of_values(fields, [(rng.normal(size=(4, 4)).tolist(), i % 10, float(i)) for i in range(100)])
    return Wanted(Signature(fields, (SCORE,)), rows, PROBABILITY)


def sigmoid(sums: Any, _: Any) -> Any:
    return torch.sigmoid(sums)[:, 0]


torch.manual_seed(0)
CLASSES = Field("prediction", "float64", (3,), nullable=False, labels=("x", "y", "z"))
EXPORTED = {
    "a probability": (Net(1, sigmoid), wanted()),
    "a number": (Net(1, lambda sums, _: 10 * sums), wanted(probable=False)),
    "classes": (Net(3, lambda sums, _: torch.softmax(sums, 1)), wanted(CLASSES, exclusive=True)),
    "two outputs": (Net(2, lambda sums, _: sums), wanted(Field("u", "float64"), Field("v", "float64"), probable=False)),
    "pictures, places and prices": (Pictures(), of_pictures()),
}
REFUSED = {
    "logits for probabilities": (Net(1, lambda sums, _: 10 * sums), wanted()),
    "an answer that hangs on the batch": (Net(1, lambda sums, _: torch.sigmoid(sums - sums.mean(0))[:, 0]), wanted()),
    "a branch that the exporter did not see": (
        Net(1, lambda sums, rows: torch.sigmoid(sums if rows[0, 0] > 0 else -sums)[:, 0]),
        wanted(),
    ),
    "NaN for what is unknown": (Net(1, sigmoid, fill=False), wanted()),
}


def shown(module: Any, of: Wanted) -> dict[str, Any]:
    start = time.perf_counter()
    exported = export(module, of)
    seconds = time.perf_counter() - start
    with exported.opened(of.signature, RuntimeOptions()) as model, torch.inference_mode():
        found = model.answer(of.rows).scores(of.signature.outputs).reshape(len(of.rows), -1)
        if of.rows.is_dense:
            given = [torch.tensor(np.array(of.rows.block))]
        else:
            image = np.stack([np.reshape(value, (4, 4)) for value in of.rows.column("image").to_pylist()]).astype(np.float32)
            place, price = (of.rows.column(name).to_numpy() for name in ("place", "price"))
            given = [torch.tensor(image), torch.tensor(np.array(place)), torch.tensor(np.array(price))]
        original = module.eval()(*given).numpy().reshape(found.shape)
        one = of.rows.part(0, 1)
        start = time.perf_counter()
        for _ in range(CALLS):
            model.answer(one)
        each = (time.perf_counter() - start) / CALLS * 1e6
    apart = float(np.abs(found - original).max() / max(1.0, float(np.abs(original).max())))
    return {"runtime": exported.runtime, "seconds": seconds, "microseconds": each, "apart": apart}


def refusal(module: Any, of: Wanted) -> str:
    try:
        export(module, of)
    except CannotExport as error:
        return str(error)
    return ""


if __name__ == "__main__":
    exported = {name: shown(module, of) for name, (module, of) in EXPORTED.items()}
    print(json.dumps({"exported": exported, "refused": {name: refusal(module, of) for name, (module, of) in REFUSED.items()}}))
