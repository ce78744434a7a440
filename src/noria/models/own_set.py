"""The feature set of a bundle: the definitions that it was sealed with, for the facts that the project predicts today."""

from __future__ import annotations

from collections.abc import Sequence

from noria.core.ids import short
from noria.core.signature import SignatureMismatch
from noria.data.table import Table
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.sealed import opened
from noria.models.bundle import Bundle
from noria.models.columns import definitions_of


def own_set(
    bundle: Bundle, current: FeatureSet, tables: Sequence[Table], transforms: Sequence[RequestTransform], *, rewritten: bool = False
) -> FeatureSet:
    """The feature set that a bundle was trained with, for the spine and the lead of the current one; itself where nothing has changed.

    rewritten: whether transforms count whose code has changed since. Raises `SignatureMismatch` for a bundle that was sealed without
    definitions and not with the current ones, and `LostDefinition`.
    """
    if bundle.manifest.definition_hash == current.definition_hash():
        return current
    definitions = definitions_of(bundle.manifest)
    if definitions is None:
        missing = [name for name in bundle.features if name not in current.features]
        fix = "it was sealed without definitions, and the project's have changed since: train again, or restore them"
        raise SignatureMismatch(
            reader=f"bundle {short(bundle.id)}", missing=missing or bundle.features, available=current.features, fix=fix
        )
    known = [*tables, *current.tables]
    return opened(
        definitions,
        bundle.features,
        spine=current.spine,
        lead=current.lead,
        tables=known,
        transforms=transforms,
        rewritten=rewritten,
    )
