"""Labels of several outputs: a struct of values, each of which its own coding reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.features.classes import refuse_positive
from noria.features.label import Coding, Label
from noria.features.outcomes import numbers_of

if TYPE_CHECKING:
    import pyarrow as pa


class NotOfOutputs(UserMistake):
    """A label does not have a value for each output."""

    code = "NR-239"

    def __init__(self, label: Label, why: str, outputs: Mapping[str, Any]) -> None:
        self.label = label
        names = ", ".join(map(repr, outputs))
        super().__init__(
            what=f"the label {label.target!r} has no value for each output: {why}",
            where=f"nr.Label({label.table.name}, {label.column!r})",
            fix=f"name a column for each output, nr.Label({label.table.name}, ({names})), or one that holds structs with these fields",
        )


@dataclass(frozen=True)
class AsStructs(Coding):
    """The numbers of each output one after the other; what is not known of it is NaN, and null where nothing is."""

    codings: Mapping[str, Coding]

    @property
    def width(self) -> int:
        return sum(coding.width for coding in self.codings.values())

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NotOfOutputs` for a type that is no struct with a field for each output, and what their codings raise."""
        import pyarrow as pa

        refuse_positive(label)
        if not pa.types.is_struct(type_):
            raise NotOfOutputs(label, f"its type is {type_}", self.codings)
        fields = {field.name: field.type for field in type_}
        for name, coding in self.codings.items():
            if name not in fields:
                raise NotOfOutputs(label, f"there is no {name!r} among {', '.join(fields)}", self.codings)
            coding.require_type(_own(label, name), fields[name])

    def positive(self, label: Label) -> None:  # noqa: ARG002 - each output has its own
        return None

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa

        whole = values.combine_chunks()
        parts = [self._part(_own(label, name), coding, whole) for name, coding in self.codings.items()]
        found = np.column_stack(parts)
        unknown = np.isnan(found).all(axis=1)
        return pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), self.width, mask=pa.array(unknown))])

    @staticmethod
    def _part(label: Label, coding: Coding, values: pa.StructArray) -> NDArray[np.float64]:
        import pyarrow as pa
        import pyarrow.compute as pc

        own = pc.struct_field(values, label.target)  # null where the struct is
        return numbers_of(coding.coded(label, pa.chunked_array([own])), coding.width)


def _own(label: Label, output: str) -> Label:
    """The label of one output."""
    return Label(label.table, output, matures=label.matures)
