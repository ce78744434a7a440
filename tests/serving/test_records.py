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
from noria.serving.log.records import MAX_INLINE, value_of
from noria.serving.log.seal import read_sealed, seal, table_of
from noria.serving.log.segments import HEAD, MAGIC, DamagedLog, LogFailed, LostValue, PredictionLog, read_log
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


def test_a_large_value_lies_once_in_a_segment_however_many_rows_have_it(tmp_path: Path) -> None:
    written(tmp_path)
    assert len(LARGE) < next(tmp_path.glob("log/w/*.seg")).stat().st_size < 1.1 * len(LARGE)
    assert [path.suffix for path in tmp_path.glob("log/w/*")] == [".seg"]
    log = PredictionLog(tmp_path / "log", "w", FILES)
    log.append(predictions(seconds=3))
    log.close()
    assert next(tmp_path.glob("log/w/*.seg")).stat().st_size < 1.1 * len(LARGE), "nor does who goes on with it write it again"
    assert len(read(tmp_path)) == 4 * len(predictions())


def test_a_large_value_that_has_changed_is_told_and_never_another(tmp_path: Path) -> None:
    written(tmp_path)
    segment = next(tmp_path.glob("log/w/*.seg"))
    data = segment.read_bytes()
    at = data.index(b"long long") + 1000
    segment.write_bytes(data[:at] + b"x" + data[at + 1 :])
    with pytest.raises(DamagedLog):
        read(tmp_path)


def test_rows_whose_large_value_a_power_cut_took_go_with_it(tmp_path: Path) -> None:
    """Writes that were not synced may be missing in any order: here all but the value."""
    log = PredictionLog(tmp_path / "log", "w", FILES)
    log.append(predictions())
    segment = next(tmp_path.glob("log/w/*.seg"))
    data = segment.read_bytes()
    at = data.index(b"long long")
    segment.write_bytes(data[:at] + bytes(4096) + data[at + 4096 :])
    assert read_log(tmp_path / "log", AT - timedelta(hours=1), AT + timedelta(hours=1), FILES) is None


def test_values_beside_a_segment_are_read_as_they_once_were_written(tmp_path: Path) -> None:
    written(tmp_path)
    made = read(tmp_path).values["b"].inputs.values()
    beside, folder = as_they_were(next(tmp_path.glob("log/w/*.seg")))
    assert read(tmp_path).values["b"].inputs.values() == made
    content = beside.read_bytes()
    for harm in (lambda: beside.write_bytes(content[:-1] + b"x"), beside.unlink):
        harm()
        with pytest.raises(LostValue, match="large value"):
            read(tmp_path)
    assert folder.exists()


def as_they_were(segment: Path) -> tuple[Path, Path]:
    """Move the one large value of a segment into a file beside it, as it was kept before; that file and its folder."""
    data, folder = segment.read_bytes(), segment.with_suffix(".values")
    folder.mkdir()
    kept, at, beside = [data[: len(MAGIC)]], len(MAGIC), None
    while at < len(data):
        size = HEAD.unpack_from(data, at)[1]
        frame, at = data[at : at + HEAD.size + size], at + HEAD.size + size
        value = value_of(frame[HEAD.size :]) if size else None
        if value is None:
            kept.append(frame)
        else:
            beside = folder / value[0]
            beside.write_bytes(value[1])
    segment.write_bytes(b"".join(kept))
    assert beside is not None
    return beside, folder


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
