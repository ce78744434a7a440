"""What a combination is made of: a task as a project declares it, a kind of input, a trainer, and what the trainer's framework answers."""

from __future__ import annotations

from dataclasses import dataclass

NUMBERS, TEXTS, EVERYTHING, NOTES, IMAGES, BOTH = "numbers", "texts", "everything", "notes", "images", "images and numbers"
TRANSFORMS = {
    NUMBERS: "numbers",
    TEXTS: "numbers, words",
    EVERYTHING: "numbers, words, rest",
    NOTES: "note",
    IMAGES: "photo",
    BOTH: "numbers, photo",
}
READS = {  # what a trainer's x is; of several types, a pandas data frame
    NUMBERS: "train.features",
    IMAGES: 'np.array(train.columns["photo"].to_pylist(), np.uint8).reshape(-1, 8, 8, 3)',
}
FRAME = "train.to_pandas()"


@dataclass(frozen=True)
class Kind:
    """A task as a project declares it. by: the tolerance of its metric; key: of both tables; settled: the event time of outcomes

    series: whether outcomes are values of a series, by the hour and shop
    """

    name: str
    task: str
    label: str
    metric: str
    by: float
    key: str = '"order_id"'
    settled: str = "settled_at"
    series: bool = False


BINARY = Kind("binary", "nr.Binary()", '"returned"', "log_loss", 0.05)
NUMBER = Kind("regression", 'nr.Regression(unit="EUR")', '"refund"', "absolute_error", 2.0)
CLASSES = Kind("multiclass", 'nr.Multiclass(("kept", "exchanged", "lost"))', '"fate"', "log_loss", 0.05)
LABELS = Kind("multilabel", 'nr.Multilabel(("torn", "late"))', '"complaints"', "log_loss", 0.05)
OUTPUTS = Kind(
    "several outputs",
    'nr.MultiOutput({"refund": nr.Regression(unit="EUR"), "days": nr.Regression()})',
    '("refund", "days")',
    "refund.absolute_error",
    2.0,
)
RANKED = Kind("ranking", 'nr.Ranking(group="basket", at=2)', '"returned"', "ndcg_at_2", 0.05, '["basket", "order_id"]')
QUANTILES = Kind("quantiles", 'nr.Regression(unit="EUR", quantiles=(0.1, 0.5, 0.9))', '"refund"', "pinball_loss", 0.5)
OF_A_SERIES = {"key": '["shop", "placed_at"]', "settled": "placed_at", "series": True}
FORECAST = Kind("forecast", 'nr.Forecast(horizons=("1h", "6h"))', '"demand"', "absolute_error", 3.0, **OF_A_SERIES)
FORECAST_QUANTILES = Kind(
    "forecast of quantiles", 'nr.Forecast(horizons=("1h", "6h"), quantiles=(0.1, 0.9))', '"demand"', "pinball_loss", 1.0, **OF_A_SERIES
)


@dataclass(frozen=True)
class Combination:
    """code: of the error with which it is refused; empty: it must go through

    fit: the body of a function `fit(x, y, seed)`; answer: of `ANSWERS`; peer: the environment that it needs, where the tests' own lacks it
    """

    name: str
    kind: Kind
    inputs: str
    fit: str
    answer: str
    trust: bool = False
    code: str = ""
    peer: str = ""

    @property
    def title(self) -> str:
        return f"{self.kind.name}, {self.inputs}, {self.name}"
