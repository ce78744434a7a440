"""Images, and other tensors of numbers, as a few columns: how bright, how much in contrast, how sharp, how much of it saturated, how large.

A camera that ages, a lens that is dirty, an export at another size or with other colours moves one of these, whatever the image shows. They
are plain arithmetic of the pixels: nothing is learnt but between which values an image lies. Of a large image, some of its lines are looked
at: each whole, since sharpness is how much neighbours in a line differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import Field
from noria.data.tensors import sizes_of

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Shape = tuple[int | None, ...]

FIGURES = ("brightness", "contrast", "sharpness", "saturated")
COLOURS = 4  # a dimension of at most so many is one of colours, not of space
MAX_LOOKED_AT = 65_536  # numbers of an image


@dataclass(frozen=True)
class ImageProjection:
    """The figures of an image: the mean, the standard deviation and the mean difference of neighbours along a line of its numbers, the
    share of them that are as low or as high as can be; and its height and width, where they are free.

    shape: of one image, as its field has it; low, high: between which its numbers lie
    """

    name: str
    shape: Shape
    low: float
    high: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name} ({what})" for what in (*FIGURES, *self._free))

    @property
    def _free(self) -> dict[str, int]:
        """The dimensions of space that are free: what people call each, and its place in the shape."""
        space = axes(self.shape)
        called = ("width",) if len(space) == 1 else ("height", "width")
        return {what: place for what, place in zip(called, space, strict=True) if self.shape[place] is None}

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        found = np.full((len(column), len(self.names)), np.nan)
        for row, image in enumerate(images(column, self.shape)):
            if image is not None and image.size:
                found[row] = [*self._figures(image), *(image.shape[place] for place in self._free.values())]
        return found

    def _figures(self, image: NDArray[Any]) -> tuple[float, ...]:
        *lines, along = axes(self.shape)
        step = max(1, image.size // MAX_LOOKED_AT)
        looked_at = image[(slice(None),) * lines[0] + (slice(None, None, step),)] if lines else image
        values = looked_at.astype(np.float64)
        apart = np.abs(np.diff(values, axis=along)).mean() if values.shape[along] > 1 else 0.0
        saturated = ((looked_at <= self.low) | (looked_at >= self.high)).mean()
        return float(values.mean()), float(values.std()), float(apart), float(saturated)


def fit_images(field: Field, column: pa.ChunkedArray) -> ImageProjection | None:
    """How a column of images, each of the field's shape, becomes numbers; None where there is none."""
    if field.type == "uint8":
        return ImageProjection(field.name, field.shape, 0.0, 255.0)
    there = (image for image in images(column, field.shape) if image is not None and image.size and np.isfinite(image).all())
    ends = [(float(image.min()), float(image.max())) for image in there]
    if not ends:
        return None
    return ImageProjection(field.name, field.shape, min(low for low, _ in ends), max(high for _, high in ends))


def axes(shape: Sequence[int | None]) -> tuple[int, ...]:
    """The dimensions of space of a shape, the one that lines run along last: colours may be the last dimension or, where that is large, the
    first."""
    if len(shape) < 3:
        return tuple(range(len(shape)))
    first, last = shape[0], shape[-1]
    colours_first = first is not None and first <= COLOURS and not (last is not None and last <= COLOURS)
    return (1, 2) if colours_first else (0, 1)


def images(column: pa.ChunkedArray, shape: Shape) -> Iterator[NDArray[Any] | None]:
    """The image of each row, as a view; None where unknown."""
    field = Field("", "uint8", shape)  # of whatever type its numbers are
    for chunk in column.chunks:
        there, sizes = np.asarray(chunk.is_valid()), sizes_of(field, chunk)
        values = chunk.flatten()[1] if len(shape) > 1 and None in shape else chunk  # a struct's nulls are those of its parts
        flat, at = values.flatten().to_numpy(zero_copy_only=False), 0
        for known, size in zip(there, sizes, strict=True):
            end = at + int(size.prod()) if known else at  # what is unknown has no values: `flatten` leaves them out
            yield flat[at:end].reshape(size) if known else None
            at = end
