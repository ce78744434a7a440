"""How a model's inputs become the columns of its profile, where they are not all numbers: fitted on what it was trained on, sealed with it.

In:  Rows in the types of the bundle's signature
Out: columns of numbers: a number or a truth value as it is; a text as a category (in the order of how frequent its values were; one that
     never came is a value of its own), or as what it looks like and says; a time as how long before the row's own time it lies; a list of
     any length as how long it is; a vector (numbers, always as many) as where it lies among those of the past (`profiles.projection`); an
     image, or what else is numbers in two or three dimensions or a long vector, as how bright, sharp and large it is (`profiles.images`)

What becomes no numbers is left out, and the model's card says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Rows
from noria.profiles.images import ImageProjection, fit_images
from noria.profiles.projection import (
    Category,
    EmbeddingProjection,
    Lag,
    ListLength,
    Number,
    Presence,
    Projection,
    TextContent,
    TextShape,
    fit_text,
    fit_vectors,
    learnt,
)

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Plain = dict[str, Any]

MAX_DIMENSIONS = 4_096  # of a vector, from which on it is looked at as an image is


@dataclass(frozen=True)
class InputProjections:
    """fitted: how each input becomes numbers, in the order of the inputs; left_out: which inputs do not, and why, in words"""

    fitted: Mapping[str, tuple[Projection, ...]]
    left_out: Mapping[str, str]

    @staticmethod
    def fit(rows: Rows) -> InputProjections:
        """From the rows that a model was trained on, in the order of time."""
        found, left_out = dict[str, tuple[Projection, ...]](), dict[str, str]()
        for field in rows.fields:
            fitted = _fitted(field, rows)
            if fitted:
                found[field.name] = fitted
            else:
                left_out[field.name] = f"{field.written_type} is not profiled"
        return InputProjections(found, left_out)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that the inputs become."""
        return tuple(self.inputs)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The input that each column is of."""
        return {column: name for name, each in self.fitted.items() for projection in each for column in projection.names}

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """What the codes of columns of categories stand for."""
        every = [projection for each in self.fitted.values() for projection in each]
        return {p.name: (*p.values, *(("others",) if p.others else ())) for p in every if isinstance(p, Category)}

    @property
    def learnt(self) -> bool:
        """Whether any was learnt from rows so closely that those are no fair sample of how others will look."""
        return learnt({name: list(each) for name, each in self.fitted.items()})

    def of(self, rows: Rows, seconds: Floats | None) -> Floats:
        """Rows as numbers `(rows, columns)`, NaN where unknown. seconds: when each came, since 1970-01-01 UTC `(rows,)`"""
        import pyarrow as pa

        columns = {name: pa.chunked_array([rows.column(name)]) for name in self.fitted}
        parts = [projection.of(columns[name], seconds) for name, each in self.fitted.items() for projection in each]
        return np.column_stack(parts) if parts else np.empty((len(rows), 0))

    def shares(self, of_inputs: Mapping[str, float]) -> Floats:
        """What is known of each input, such as its attribution, in equal parts for its columns `(columns,)`."""
        width = {name: sum(len(projection.names) for projection in each) for name, each in self.fitted.items()}
        return np.array([of_inputs[name] / width[name] for name in self.inputs.values()])

    def to_json(self) -> bytes:
        fitted = [{"input": name, "as": [_plain(projection) for projection in each]} for name, each in self.fitted.items()]
        return json.dumps({"fitted": fitted, "left_out": dict(self.left_out)}, sort_keys=True, allow_nan=False).encode()

    @staticmethod
    def from_json(data: bytes) -> InputProjections:
        """What `to_json` gave. Raises `ValueError` or `KeyError` for anything else."""
        told = json.loads(data)
        fitted = {each["input"]: tuple(_opened(plain) for plain in each["as"]) for each in told["fitted"]}
        return InputProjections(fitted, told["left_out"])


def _fitted(field: Field, rows: Rows) -> tuple[Projection, ...]:
    import pyarrow as pa

    column = pa.chunked_array([rows.column(field.name)])
    if field.shape:
        numbers = field.type in (*FLOATS, *INTEGERS)
        if numbers and (len(field.shape) in (2, 3) or _is_long(field, column)):
            image = fit_images(field, column)
            return () if image is None else (image,)
        vector = fit_vectors(field.name, column) if numbers and len(field.shape) == 1 and _of_one_length(column) else None
        return (vector,) if vector is not None else (ListLength(field.name),) if field.shape == (None,) else ()
    if field.type == "string":
        return tuple(fit_text(field.name, column))
    if field.type == "timestamp":
        return (Lag(field.name),)
    return () if field.type == "bytes" else (Number(field.name),)


def _is_long(field: Field, column: pa.ChunkedArray) -> bool:
    """Whether lists are vectors of so many numbers (an image laid out flat, say) that no directions among them could be learnt."""
    import pyarrow.compute as pc

    return len(field.shape) == 1 and _of_one_length(column) and pc.max(pc.list_value_length(column)).as_py() > MAX_DIMENSIONS


def _of_one_length(column: pa.ChunkedArray) -> bool:
    """Whether the lists are vectors: stored tables say no lengths."""
    import pyarrow.compute as pc

    lengths = pc.unique(pc.list_value_length(column.drop_null()))
    return len(lengths) == 1 and lengths[0].as_py() > 1


# --- as JSON ------------------------------------------------------------------------------------------------------------


def _plain(projection: Projection) -> Plain:
    kind = next(name for name, of in KINDS.items() if type(projection) is of)
    match projection:
        case Category():
            told: Plain = {"name": projection.name, "values": list(projection.values), "others": sorted(projection.others)}
        case TextContent():
            places = np.flatnonzero(projection.used)
            used = [places.tolist(), projection.used[places].tolist(), len(projection.used)]
            told = {"name": projection.name, "used": used, "about": _plain(projection.about)}
        case EmbeddingProjection():
            middle, directions = projection.middle.tolist(), projection.directions.tolist()
            told = {"name": projection.name, "middle": middle, "directions": directions, "measured": projection.measured}
        case _:
            told = dict(vars(projection))
    return {"kind": kind, **told}


def _opened(plain: Plain) -> Projection:
    told = {name: value for name, value in plain.items() if name != "kind"}
    of: Callable[..., Projection] = _OPENED.get(plain["kind"], KINDS[plain["kind"]])
    return of(**told)


def _category(name: str, values: list[str], others: list[str]) -> Category:
    return Category(name, tuple(values), frozenset(others))


def _text_content(name: str, used: list[Any], about: Plain) -> TextContent:
    places, counts, size = used
    whole = np.zeros(size, np.int64)
    whole[places] = counts
    opened = _opened(about)
    assert isinstance(opened, EmbeddingProjection), "what texts are about is projected like an embedding"
    return TextContent(name, whole, opened)


def _embedding(name: str, middle: list[float], directions: list[list[float]], measured: bool) -> EmbeddingProjection:
    return EmbeddingProjection(name, np.array(middle), np.array(directions).reshape(len(middle), -1), measured)


def _image(name: str, shape: list[int | None], low: float, high: float) -> ImageProjection:
    return ImageProjection(name, tuple(shape), low, high)


KINDS: dict[str, type[Any]] = {
    "number": Number,
    "presence": Presence,
    "lag": Lag,
    "list_length": ListLength,
    "category": Category,
    "text_shape": TextShape,
    "text_content": TextContent,
    "embedding": EmbeddingProjection,
    "image": ImageProjection,
}
_OPENED: dict[str, Callable[..., Projection]] = {
    "category": _category,
    "text_content": _text_content,
    "embedding": _embedding,
    "image": _image,
}
