"""What an application reads of a question, as a model's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from noria.core.signature import Field
from noria.data.table import Table
from noria.evaluation.generation import ACCESS, CONDITIONS, CONVERSATION, INPUTS, MODE, OPTIONS, QUESTION, TENANT
from noria.features.feature_set import FeatureSet, RequestTransform

if TYPE_CHECKING:
    import pyarrow as pa

OTHERS = (CONVERSATION, ACCESS, CONDITIONS, MODE, TENANT, OPTIONS)


def questions(asked: Table, *, name: str = "questions") -> FeatureSet:
    """The features of an application, from a table of questions that were asked: a row for each, with a column `question`, and
    `conversation`, `access`, `conditions`, `mode`, `tenant` and `options` where there are any (see `nr.Generation`).

    asked: the table; name: of the features
    """
    transform = RequestTransform(tuple(field.name for field in INPUTS), asked_for, tuple(INPUTS))
    return FeatureSet(name, spine=asked, request=[transform])


def asked_for(rows: pa.Table) -> Mapping[str, Any]:
    """The question of each row, and what limits its answer; unknown where a table does not say."""
    return {QUESTION.name: rows[QUESTION.name], **{field.name: _column(rows, field) for field in OTHERS}}


def _column(rows: pa.Table, field: Field) -> Any:
    import pyarrow as pa

    if field.name in rows.column_names:
        return rows[field.name]
    return pa.nulls(rows.num_rows, pa.list_(pa.string()) if field.shape else pa.string())
