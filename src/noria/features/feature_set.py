"""Feature sets: the ordered list of features that one model reads."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from noria.core.arguments import WrongArgument, require, require_each
from noria.core.clock import duration
from noria.core.declarations import declare
from noria.core.errors import NoriaError, UserMistake, nearest
from noria.core.fingerprint import fingerprint
from noria.core.ids import digest
from noria.core.names import require_name
from noria.core.signature import Field
from noria.core.sql import folded
from noria.data.rows import Fields
from noria.data.table import Table
from noria.features.compile import AT, KEY
from noria.features.fields import Column, given_as
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

Compute = Callable[["pa.Table"], Mapping[str, Any]]


@dataclass(frozen=True)
class RequestTransform:
    """A vectorised function of what a request itself carries; the same function runs in training and serving."""

    features: tuple[str, ...]
    compute: Compute
    types: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        return getattr(self.compute, "__name__", "transform")

    @property
    def fields(self) -> Fields:
        """The features as fields: float32 unless another type is declared."""
        declared = {field.name: field for field in self.types}
        return tuple(declared.get(name) or Field(name) for name in self.features)

    @property
    def written(self) -> dict[str, str]:
        """The declared types as they are written: feature → type."""
        return {field.name: field.written_type for field in self.types}

    def __call__(self, rows: pa.Table) -> dict[str, Column]:
        """The features of `rows`, by name: `(rows,)` float32, NaN where the function gave null, NaN or no time; or Arrow arrays of the
        declared types, null where it gave null or NaN.

        It gives arrays of what is declared (NumPy, Arrow, pandas, lists). Undeclared, they are numbers or booleans, or dates, times or
        spans of time, which are read as numbers of their own unit (since 1970). Raises `BadTransform` when it returns something else.
        """
        values = self.compute(rows)
        if not isinstance(values, Mapping) or set(values) != set(self.features):
            returned = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise BadTransform(self.name, f"it declares {sorted(self.features)} and returned {returned}")
        found = {field.name: self._column(field, values[field.name]) for field in self.fields}
        for name, column in found.items():
            shape = column.shape if isinstance(column, np.ndarray) else (len(column),)
            if shape != (rows.num_rows,):
                raise BadTransform(self.name, f"{name} has shape {shape} for {rows.num_rows} rows")
        return found

    def _column(self, field: Field, column: Any) -> Column:
        try:
            if field in self.types:
                return given_as(field, column)
            with np.errstate(over="ignore"):
                return _as_float32(column)
        except (TypeError, ValueError, OverflowError, NotImplementedError) as error:  # Arrow's own errors are of these
            text = isinstance(error, TypeError) and " is not a number" in str(error)
            fix = f'add types={{"{field.name}": "string"}} to @nr.request_transform(…), or make a number of it' if text else RETURNS
            raise BadTransform(self.name, f"{field.name}: {error}", fix) from error


def transformed(transforms: Sequence[RequestTransform], rows: pa.Table) -> dict[str, Column]:
    """The features of all transforms over rows of the spine, by name. Raises `BadTransform`, also for one that raises."""
    found: dict[str, Column] = {}
    for transform in transforms:
        try:
            found |= transform(rows)
        except NoriaError:
            raise
        except Exception as error:  # whatever the user's function raises
            path = transform.compute.__code__.co_filename if hasattr(transform.compute, "__code__") else ""
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
            where = f" ({Path(path).name}, line {lines[-1]})" if lines else ""
            fix = _advice(error, rows.column_names)
            raise BadTransform(transform.name, f"it raised {type(error).__name__}: {error}{where}", fix) from error
    return found


def _advice(error: Exception, columns: Sequence[str]) -> str:
    """What to write instead of what raised, where that is a column that isn't there, or arithmetic that Arrow does otherwise."""
    words = str(error)
    if found := re.search(r'Field "(.+?)" does not exist', words):
        return f"rows has no column {found[1]!r}{nearest(found[1], columns)}: it has {', '.join(columns)}"
    if "unsupported operand" in words and "pyarrow" in words:
        return 'compute with pyarrow.compute, such as pc.multiply(rows["price"], 1.2), or with NumPy: np.asarray(rows["price"]) * 1.2'
    return RETURNS


def _as_float32(column: Any) -> NDArray[np.float32]:
    """Numbers as float32, NaN where there is none. Raises `TypeError` for values that are no numbers."""
    if isinstance(column, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(column), np.float32(np.nan), _as_float32(column.data))
    values = np.asarray(column)
    match values.dtype.kind:
        case "M" if _loses_digits(values[~np.isnat(values)].astype(np.int64)):
            raise TypeError("a float32 can't hold a time: use the duration between two, or a part such as the hour")
        case "M" | "m":
            return np.where(np.isnat(values), np.float32(np.nan), values.astype(np.int64).astype(np.float32))
        case "b" | "i" | "u" | "f":
            return values.astype(np.float32)
        case "O":
            return np.array([_number(value) for value in values.ravel()], np.float64).astype(np.float32).reshape(values.shape)
    raise TypeError(f"values of type {values.dtype} are not numbers")


def _loses_digits(values: NDArray[np.int64]) -> bool:
    return bool((values.astype(np.float32).astype(np.float64) != values).any())


def _number(value: Any) -> float:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # as pandas has them
        return np.nan
    if isinstance(value, str | bytes | complex | np.ndarray) or not hasattr(value, "__float__"):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


RETURNS = (
    "make it return an array of numbers for each of its features, one per row, or of the type that is declared for it (types={…}); "
    "null is allowed"
)


class BadTransform(UserMistake):
    """A request transform raised, or returned something else than it declares."""

    code = "NR-212"

    def __init__(self, transform: str, reason: str, fix: str = RETURNS) -> None:
        self.transform = transform
        super().__init__(what=f"request transform {transform!r} did not return what it declares", where=reason, fix=fix)


def request_transform(*features: str, types: Mapping[str, str] | None = None) -> Callable[[Compute], RequestTransform]:
    """Declare a function of the spine's columns (an Arrow table) as the source of these features.

    features: the names of the features that the function gives
    types: of those that are no float32, feature → type: `string`, `bool`, `timestamp`, `int64`, `float64`, …, `string[any]` for a list of
    any length, `float32[3]` for one of three. Raises `UnknownType`.
    """
    for feature in features:
        require("nr.request_transform", "features", feature, str, '@nr.request_transform("price"), with the names of its features')
    written = types or {}
    for name in written:
        if name not in features:
            raise UserMistake(
                what=f"types={{…}} has {name!r}{nearest(name, features)}, which is not among the features",
                where=f"nr.request_transform({', '.join(map(repr, features))})",
                fix="declare types of its features only",
            )
    declared = tuple(Field.written(name, written[name]) for name in features if name in written)

    def declare(compute: Compute) -> RequestTransform:
        return RequestTransform(features, compute, declared)

    return declare


@dataclass(frozen=True)
class FeatureSet:
    """What one model reads, and when.

    name: as bundles and the feature catalog have it
    spine: the table whose facts are to be predicted, one prediction each
    views: whose values are joined to each row of the spine, as known then; the spine has the columns of their entities
    request: transforms of the spine's own columns, made with `@nr.request_transform`
    lead: how long before the spine's event time the prediction is made; every feature is as known at that moment
    """

    name: str
    spine: Table
    views: Sequence[FeatureView] = ()
    request: Sequence[RequestTransform] = field(default_factory=tuple)
    lead: str = "0s"

    def __post_init__(self) -> None:
        self._check_arguments()
        if self.spine.stamped:
            raise UserMistake(
                what=f"the rows of {self.spine.name!r} become known only when they are ingested, after their prediction was due",
                where=f"the spine of feature set {self.name!r}",
                fix="set known_at to the column with the time at which a row became known, or leave it out to use the event time",
            )
        require_name("feature set", self.name)
        duration(self.lead)
        for kind, names in (("feature", self.features), ("feature view", [view.name for view in self.views])):
            self._require_distinct(kind, names)
        for feature in self.features:
            if feature in (AT, KEY):
                self._refuse(f"feature {feature!r} has a name that is reserved for the times or keys of predictions")
        declare(self)

    def _check_arguments(self) -> None:
        """Raise `WrongArgument` for what is no table, no view or no request transform."""
        call = f"nr.FeatureSet({self.name!r})"
        require(call, "spine", self.spine, Table, "spine=orders: the table that nr.Table(…) gave, not its name")
        require_each(call, "views", self.views, FeatureView, "views=[by_city], of what nr.FeatureView(…) gave")
        given: Any = self.request  # which may be anything yet
        for each in given if isinstance(given, list | tuple) else ():
            if callable(each) and not isinstance(each, RequestTransform):
                name = getattr(each, "__name__", "it")
                raise WrongArgument(
                    call, "request", each, f'put @nr.request_transform("price") above def {name}, with the names of its features'
                )
        require_each(call, "request", self.request, RequestTransform, "request=[basket], of functions below @nr.request_transform(…)")

    def _require_distinct(self, kind: str, names: Sequence[str]) -> None:
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(folded(name), name)
            if other != name:
                self._refuse(f"{kind}s {other!r} and {name!r} differ only in case")
        for name in names:
            if names.count(name) > 1:
                self._refuse(f"{kind} {name!r} is declared twice")

    def _refuse(self, what: str) -> NoReturn:
        raise UserMistake(what=what, where=f"feature set {self.name!r}", fix="rename one of them")

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature, in the order in which the model gets it."""
        return (*(f for v in self.views for f in v.features), *(f for r in self.request for f in r.features))

    @property
    def lead_time(self) -> timedelta:
        return duration(self.lead)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table the features come from, the spine first."""
        return tuple({t.name: t for t in (self.spine, *(v.table for v in self.views))}.values())

    @property
    def sources(self) -> dict[str, str]:
        """The table that each feature comes from; what is computed from the request comes from the spine."""
        found = dict.fromkeys(self.features, self.spine.name)
        return found | {name: view.table.name for view in self.views for name in view.features}

    def definition(self) -> dict[str, Any]:
        """The whole definition as plain data, with the fingerprints of the code in it."""
        return {
            "name": self.name,
            "spine": self.spine.name,
            "lead": self.lead,
            "views": [v.definition() for v in self.views],
            "request": {r.name: _definition(r) for r in self.request},
        }

    def definition_hash(self) -> str:
        return digest(self.definition())


def _definition(transform: RequestTransform) -> dict[str, Any]:
    """A transform as plain data; types only where they are declared, so that the hashes of sets of numbers stay as they were."""
    found = {"features": list(transform.features), "code": fingerprint(transform.compute)}
    return found | ({"types": transform.written} if transform.types else {})
