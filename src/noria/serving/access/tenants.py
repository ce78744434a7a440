"""Tenants: on whose behalf a request is made, as its key or token says.

A model of the task `generation` reads its asker's tenant from the input `tenant`. It is the key's, or that of the token's claim, whatever a
header or a body says; of a request without either, and of a key without a tenant, it is empty. It is unknown (null) only where no request
is answered: for a bundle's sample, in evaluations.
"""

from __future__ import annotations

from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.serving.generated import OPTIONS, TENANT, generates, place_of_input
from noria.serving.protocol.request import PredictRequest


def place_of_tenant(bundle: Bundle) -> int | None:
    """Where the tenant stands among a bundle's inputs; None where it reads none."""
    return place_of_input(bundle, TENANT)


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
    return rows.replaced(own.name, column)


def added_by_us(bundle: Bundle) -> tuple[str, ...]:
    """The inputs that no request has to send."""
    names = bundle.signature.names if generates(bundle) else ()
    return tuple(name for name in (TENANT, OPTIONS) if name in names)
