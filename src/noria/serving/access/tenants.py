"""Tenants: on whose behalf a request is made, as its key or token says.

A model of the task `generation` reads its asker's tenant from the input `tenant`. It is the key's, or that of the token's claim, whatever a
header or a body says; of a request without either, and of a key without a tenant, it is empty. It is unknown (null) only where no request
is answered: for a bundle's sample, in evaluations.
"""

from __future__ import annotations

from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.serving.generated import OPTIONS, TENANT, generates
from noria.serving.protocol.request import PredictRequest


def place_of_tenant(bundle: Bundle) -> int | None:
    """Where the tenant stands among a bundle's inputs; None where it reads none."""
    if generates(bundle):
        for place, field in enumerate(bundle.signature.inputs):
            if (field.name, field.type, field.shape) == (TENANT, "string", ()):
                return place
    return None


def set_tenant(asked: PredictRequest, place: int, tenant: str) -> None:
    """Have a request's rows say on whose behalf they are asked."""
    if asked.entities is not None:
        return
    if isinstance(asked.rows, Rows):
        asked.rows = _of_columns(asked.rows, place, tenant)
    else:
        asked.rows = [(*row[:place], tenant, *row[place + 1 :]) for row in asked.rows]


def _of_columns(rows: Rows, place: int, tenant: str) -> Rows:
    own = rows.fields[place]
    column = Rows.of_values((own,), [(tenant,)] * len(rows)).column(own.name)
    return Rows.of(rows.fields, [column if i == place else rows.column(field.name) for i, field in enumerate(rows.fields)])


def added_by_us(bundle: Bundle) -> tuple[str, ...]:
    """The inputs that no request has to send."""
    names = bundle.signature.names if generates(bundle) else ()
    return tuple(name for name in (TENANT, OPTIONS) if name in names)
