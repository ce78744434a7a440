"""The log of models whose inputs and outputs are of every type: read back as they were, large values once beside the segment."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from faults import FailingFiles
from noria.core.clock import since_epoch
from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.records import MAX_INLINE
from noria.serving.log.seal import read_sealed, seal, table_of
from noria.serving.log.segments import LogFailed, LostValue, PredictionLog, read_log
from noria.stores.tables import DeltaTables

FILES = LocalFiles()
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
LARGE = "long " * MAX_INLINE
SIGNATURE = Signature(
    (
        Field("n", "uint32"),
        Field("text", "string"),
        Field("seen", "timestamp"),
        Field("image", "uint8", (2, None)),
        Field("x", "float64"),
        Field("words", "string", (None,)),
    ),
    (Field("label", "string", nullable=False), Field("p", "float32", (3,), nullable=False)),
)
INPUTS = [
    (2**32 - 1, "ä", AT, [[1, 2], [3, 4]], 0.1, ["a", None]),
    (None, None, None, None, None, None),
    (7, LARGE, AT, [[0] * 9, [1] * 9], float("inf"), []),
    (8, LARGE, AT, None, -0.0, None),
]
OUTPUTS = [(name, [0.25, 0.25, 0.5]) for name in "abcd"]


def predictions(bundle: str = "b", seconds: int = 0, signature: Signature = SIGNATURE) -> Predictions:
    count = len(INPUTS)
    received = np.full(count, since_epoch(AT) + seconds * 1_000_000, np.int64)
    values = Values(Rows.of_values(signature.inputs, INPUTS), Rows.of_values(signature.outputs, OUTPUTS))
    ids = [f"{bundle}{seconds}-{i}" for i in range(count)]
    return Predictions(ids, [None] * count, ["champion"] * count, [bundle] * count, received, np.zeros(count, np.int32), {bundle: values})


def written(folder: Path) -> PredictionLog:
    log = PredictionLog(folder / "log", "w", FILES)
    for seconds in range(3):
        log.append(predictions(seconds=seconds))
    log.close()
    return log


def read(folder: Path) -> Predictions:
    found = read_log(folder / "log", AT - timedelta(hours=1), AT + timedelta(hours=1), FILES)
    assert found is not None
    return found


def test_every_type_is_read_back_as_it_was(tmp_path: Path) -> None:
    written(tmp_path)
    found, made = read(tmp_path), predictions()
    assert found.inputs(SIGNATURE).values() == made.values["b"].inputs.values() * 3
    assert found.values["b"].outputs.values() == made.values["b"].outputs.values() * 3


def test_a_large_value_lies_once_beside_the_segment_however_many_rows_have_it(tmp_path: Path) -> None:
    written(tmp_path)
    kept = list(tmp_path.glob("log/w/*.values/*"))
    assert len(kept) == 1
    assert kept[0].stat().st_size < 2 * len(LARGE)
    assert next(tmp_path.glob("log/w/*.seg")).stat().st_size < len(LARGE)


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])
def test_a_large_value_that_is_lost_or_changed_is_told_and_never_another(tmp_path: Path, harm: object) -> None:
    written(tmp_path)
    harm(next(tmp_path.glob("log/w/*.values/*")))  # type: ignore[operator]
    with pytest.raises(LostValue, match="large value"):
        read(tmp_path)


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_large_value_that_can_not_be_written_is_acknowledged_to_nobody(tmp_path: Path, nth: int) -> None:
    files = FailingFiles(nth)
    acknowledged: list[str] = []
    log = PredictionLog(tmp_path / "log", "w", files)
    for seconds in range(3):
        rows = predictions(seconds=seconds)
        with suppress(LogFailed):
            log.append(rows)
            log.sync()
            acknowledged += rows.ids
    assert files.failed
    found = read_log(tmp_path / "log", AT - timedelta(hours=1), AT + timedelta(hours=1), FILES)
    assert acknowledged == ([] if found is None else found.ids[: len(acknowledged)])


def test_bundles_whose_columns_have_one_name_and_two_types_are_sealed_side_by_side(tmp_path: Path) -> None:
    log, other = PredictionLog(tmp_path / "log", "w", FILES), Signature((Field("text", "float32"),), (Field("prediction", "float64"),))
    log.append(predictions())
    numbers = Values(Rows.of_values(other.inputs, [(0.5,)]), Rows.of_values(other.outputs, [(0.25,)]))
    at = np.array([since_epoch(AT)], np.int64)
    log.append(Predictions(["z"], ["k"], ["champion"], ["c"], at, np.zeros(1, np.int32), {"c": numbers}))
    log.close()
    tables, signatures = DeltaTables(tmp_path / "tables"), {"b": SIGNATURE, "c": other}
    done = seal("e", tmp_path / "log", tables, signatures.__getitem__, FILES, AT + timedelta(days=2), timedelta(days=1))
    assert (done.balance.rows_in, done.removed) == (5, 1)
    assert not list(tmp_path.glob("log/w/*.values/*")), "what was beside the segment goes with it"
    span = AT - timedelta(hours=1), AT + timedelta(hours=1)
    for made, signature in ((predictions(), SIGNATURE), (None, other)):
        for row, name in enumerate(["z"] if made is None else made.ids):
            found = read_sealed("e", tables, signatures.__getitem__, *span, name)
            assert found is not None
            [values] = found.values.values()
            expected = numbers if made is None else made.values["b"]
            assert values.inputs.select(signature.inputs).values() == expected.inputs.part(row, row + 1).values()
            assert values.outputs.values() == expected.outputs.part(row, row + 1).values()
    table = tables.read_or_none(table_of("e"))
    assert table is not None
    assert {"text", "text__float32", "_label", "_p", "_prediction"} <= set(table.column_names)
