"""Sealing: the prediction log's past days become a table, for people and for SQL; segments may then be removed.

A segment whose day is over gets no more rows. Its rows are appended to a Delta table in one commit that names the segment and
its digest, so that a kill at any point seals each segment once (a segment is at most 64 MB, so memory stays bounded). Only segments
that a commit names, unchanged since, are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.conservation import Balance
from noria.core.files import Files
from noria.core.ids import digest
from noria.core.signature import Field, Signature
from noria.data.rows import Fields, Rows, arrow_type
from noria.data.table import microseconds_of
from noria.serving.log.predictions import Predictions, Values, together
from noria.serving.log.segments import SEGMENTS, Beside, read_segment
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

SignatureOf = Callable[[str], Signature]
SIGNED = {"uint8": "int16", "uint16": "int32", "uint32": "int64"}  # Delta tables have no unsigned numbers


@dataclass(frozen=True)
class Sealed:
    """What sealing did to one endpoint's log."""

    table: str
    balance: Balance
    segments: int
    removed: int

    def to_dict(self) -> dict[str, Any]:
        return {"table": self.table, "balance": self.balance.to_dict(), "segments": self.segments, "removed": self.removed}


def table_of(endpoint: str) -> str:
    """The table that an endpoint's log is sealed into."""
    return f"{endpoint}__predictions"


def seal(
    endpoint: str, folder: Path, tables: DeltaTables, signature_of: SignatureOf, files: Files, now: datetime, keep: timedelta | None
) -> Sealed:
    """Seal every segment of the days before `now`'s, and remove those sealed ones that are older than `keep` (None: none).

    signature_of: of a bundle, by its id. Raises `DamagedLog` at the first segment that is damaged; those before it are sealed.
    """
    name = table_of(endpoint)
    read = written = fresh = removed = 0
    with tables.writing(name):
        done: dict[str, dict[str, Any]] = tables.details(name).get("segments", {})
        for path in files.list(folder, SEGMENTS):
            key = f"{path.parent.name}/{path.name}"
            if path.name[:10] >= f"{now:%Y-%m-%d}":
                continue
            if key not in done:
                parts = list(read_segment(path, files))
                read += sum(map(len, parts))
                done = {**done, key: {"rows": sum(map(len, parts)), "digest": digest(files.read(path))}}
                written += _append(tables, name, parts, signature_of, done)
                fresh += 1
            if keep is not None and path.name[:10] < f"{now - keep:%Y-%m-%d}" and done[key]["digest"] == digest(files.read(path)):
                files.remove(path)
                Beside(path, files).remove()
                removed += 1
    return Sealed(name, Balance(f"seal {endpoint}", read, {"sealed": written}).checked(), fresh, removed)


def _append(tables: DeltaTables, name: str, parts: Sequence[Predictions], signature_of: SignatureOf, done: Mapping[str, Any]) -> int:
    """Append a segment's rows, in the commit that names it as sealed."""
    import pyarrow as pa

    by_bundle: dict[str, list[Predictions]] = {}
    for rows in parts:
        for bundle in rows.values:
            by_bundle.setdefault(bundle, []).append(rows.of(bundle))
    found, taken = list[pa.Table](), _types(tables, name)
    for bundle, those in by_bundle.items():
        found.append(as_table(together(those), signature_of(bundle), taken))
        taken |= {column.name: column.type for column in found[-1].schema}
    if not found:
        return 0
    whole = pa.concat_tables(found, promote_options="default")
    tables.append(name, whole, {"segments": dict(done)})
    return int(whole.num_rows)


def as_table(rows: Predictions, signature: Signature, taken: Mapping[str, pa.DataType]) -> pa.Table:
    """Predictions of one bundle as columns: what the log knows of each, and its outputs, with an underscore before the name; its inputs by
    name. Where `taken` has a column of the name with another type, of another bundle, the type follows the name.
    """
    import pyarrow as pa

    columns = {
        "_id": pa.array(rows.ids, pa.string()),
        "_key": pa.array(rows.keys, pa.string()),
        "_variant": pa.array(rows.variant, pa.string()),
        "_bundle": pa.array(rows.bundle, pa.string()),
        "_received_at": pa.array(rows.received_us, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "_latency_us": pa.array(rows.latency_us, pa.int32()),
    }
    outputs = next(iter(rows.values.values())).outputs
    columns |= {_name(f, taken, "_"): outputs.column(f.name).cast(_stored_type(f)) for f in signature.outputs}
    inputs = rows.inputs(signature)
    return pa.table(columns | {_name(f, taken): inputs.column(f.name).cast(_stored_type(f)) for f in signature.inputs})


def _types(tables: DeltaTables, name: str) -> dict[str, pa.DataType]:
    """The columns that a table has, with their types."""
    found = tables.schema(name)
    return {} if found is None else {column.name: column.type for column in found}


def _name(each: Field, taken: Mapping[str, pa.DataType], before: str = "") -> str:
    name = before + each.name
    kind = _stored_type(each)
    return name if _alike(taken.get(name, kind), kind) else f"{name}__{each.type}"


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether two types are the same, whatever the items of their lists are called, and of whatever length these are."""
    import pyarrow as pa

    if all(pa.types.is_list(each) or pa.types.is_fixed_size_list(each) for each in (one, other)):
        return _alike(one.value_type, other.value_type)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        same = [f.name for f in one] == [f.name for f in other]
        return same and all(_alike(mine.type, theirs.type) for mine, theirs in zip(one, other, strict=True))
    return bool(one.equals(other))


def _stored_type(each: Field) -> pa.DataType:
    """How a Delta table holds a column of this field: signed, and with lists of any length."""
    import pyarrow as pa

    if each.type == "uint64" and not each.shape:
        return pa.decimal128(20, 0)
    kind = arrow_type(msgspec.structs.replace(each, type=SIGNED.get(each.type, each.type)))
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind


def read_sealed(
    endpoint: str, tables: DeltaTables, signature_of: SignatureOf, start: datetime, end: datetime, prediction_id: str
) -> Predictions | None:
    """A sealed prediction that was received in [start, end]; None if it was not sealed."""
    import pyarrow.compute as pc

    name = table_of(endpoint)
    version = tables.latest(name)
    if version is None:
        return None
    rows = tables.read(name, version, within=("_received_at", start, end))
    rows = rows.filter(pc.equal(rows.column("_id"), prediction_id))
    if rows.num_rows == 0:
        return None
    bundle, taken = rows.column("_bundle")[0].as_py(), {column.name: column.type for column in rows.schema}
    signature = signature_of(bundle)

    def read(fields: Fields, before: str = "") -> Rows:
        columns = [rows.column(_name(f, taken, before)).cast(arrow_type(f)).combine_chunks() for f in fields]
        return Rows.of(fields, columns)

    return Predictions(
        rows.column("_id").to_pylist(),
        rows.column("_key").to_pylist(),
        rows.column("_variant").to_pylist(),
        rows.column("_bundle").to_pylist(),
        microseconds_of(rows.column("_received_at")),
        rows.column("_latency_us").to_numpy(),
        {bundle: Values(read(signature.inputs), read(signature.outputs, "_"))},
    )
