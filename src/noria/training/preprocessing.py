"""What columns need before an estimator can read them: categories and words as numbers, unknown numbers imputed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Rows
from noria.features.training_set import Dataset

NUMBERS = (*FLOATS, *INTEGERS, "bool")
MAX_CATEGORIES = 50  # the most frequent of a column: each is a column of its own
MAX_WORDS = 500  # of a column
WORDS = 3  # a column with so many words on average holds texts, and not categories
LOOKED_AT = 10_000  # rows by which a column is judged
NATIVE = ("lightgbm", "xgboost", "catboost")  # their trees know where unknown numbers go
TRIED = 300  # rows on which it is tried whether an estimator reads unknown numbers
ROUNDS = ("n_estimators", "max_iter")  # parameters that say for how many rounds an estimator trains


class UnreadableFeature(UserMistake):
    """A feature has a type that no estimator reads as it is."""

    code = "NR-313"

    def __init__(self, field: Field) -> None:
        super().__init__(
            what=f"nr.sklearn() can't read {field.described}",
            where="it reads numbers, booleans and texts",
            fix="make numbers or texts of it in an nr.request_transform, or write a trainer function (@nr.trainer)",
        )


def readable(estimator: Any, rows: Rows, y: NDArray[Any]) -> tuple[Any, Any]:
    """An unfitted model that reads rows, and the rows as it reads them: the estimator itself, or a pipeline that begins with what its
    columns need. Raises `UnreadableFeature`, and `MissingExtra` without pandas where there are texts."""
    if _chooses_columns(estimator):
        return estimator, frame_of(rows)
    for field in rows.fields:
        if field.shape or field.type not in (*NUMBERS, "string"):
            raise UnreadableFeature(field)
    texts = [field.name for field in rows.fields if field.type == "string"]
    if not texts:
        x = rows.block if rows.is_dense else np.column_stack([rows.numbers(name) for name in rows.names])
        return (estimator if _reads_unknown(estimator, x, y) else _imputed(estimator)), x
    return _with_columns(estimator, rows, texts, y), frame_of(rows)


def frame_of(rows: Rows) -> Any:
    """Rows as a pandas data frame. Raises `MissingExtra`."""
    return Dataset(rows, np.empty(len(rows))).to_pandas()


def _with_columns(estimator: Any, rows: Rows, texts: Sequence[str], y: NDArray[Any]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers = [name for name in rows.names if name not in texts]
    categories = [name for name in texts if not _is_text(rows, name)]
    parts: list[Any] = [(f"words of {name}", TfidfVectorizer(max_features=MAX_WORDS), name) for name in texts if name not in categories]
    if categories:
        known = [_frequent(rows, name) for name in categories]
        parts.append(("categories", OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False), categories))
    if numbers:
        block = np.column_stack([rows.numbers(name) for name in numbers])
        reads = _reads_unknown(estimator, block, y)
        parts.append(("numbers", "passthrough" if reads else SimpleImputer(strategy="median", keep_empty_features=True), numbers))
    return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), estimator)


def _imputed(estimator: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), estimator)


def _chooses_columns(estimator: Any) -> bool:
    """Whether it begins with something that chooses columns by name, and so reads a data frame."""
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    return hasattr(first, "transformers") or hasattr(first, "transformer_list")


def _is_text(rows: Rows, name: str) -> bool:
    """Whether a column holds texts of several words, different from row to row, and not categories."""
    some = rows.column(name).slice(0, LOOKED_AT).drop_null()
    if not len(some):
        return False
    words = pc.mean(pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(some)))).as_py()
    return bool(words >= WORDS and len(some.unique()) > MAX_CATEGORIES)


def _frequent(rows: Rows, name: str) -> list[str]:
    """The most frequent values of a column, in the order of the alphabet."""
    counts = rows.column(name).drop_null().value_counts()
    found = sorted(
        zip(counts.field("counts").to_pylist(), counts.field("values").to_pylist(), strict=True), key=lambda pair: (-pair[0], pair[1])
    )
    return sorted(value for _, value in found[:MAX_CATEGORIES]) or [""]


def _in_short(estimator: Any) -> Any:
    """An estimator that trains for one round only: what it reads does not depend on how many there are."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    last.set_params(**{name: 1 for name in ROUNDS if name in last.get_params(deep=False)})
    return estimator


def _reads_unknown(estimator: Any, x: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether an estimator reads unknown numbers: tried, as what estimators say of themselves differs by version and library."""
    import warnings

    from sklearn.base import clone

    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if type(last).__module__.split(".")[0] in NATIVE:
        return True
    some = np.linspace(0, len(x) - 1, min(TRIED, len(x))).astype(int)
    tried, told = np.array(x[some], float), y[some]
    tried[0] = np.nan
    if len(np.unique(told)) < min(2, len(np.unique(y))):
        tried, told = np.array(x, float), y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _in_short(clone(estimator)).fit(tried, told).predict(tried[:1])
        except (ValueError, TypeError):
            return False
    return True
