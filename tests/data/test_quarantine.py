"""What is refused is kept once, as the text that came, beside where it stood and why; and can be taken in later."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import noria as nr
from feeds import START, Z, dated, feed, times
from noria.data.ingest import push

LIMIT = nr.Contract(between={"v": (0, 10)})


def test_a_value_that_does_not_fit_is_kept_with_the_text_of_every_column(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,v,w,at\na,1,x,{Z}\nb,2,,{Z}\n")
    made.ingest()
    made.put("b.csv", f"id,v,w,at\nc,007,y,2024-01-01T02:00:00+02:00\nd,3,z,{Z}\n").ingest()
    [held] = made.held()
    assert held == {
        "_reason": "v is not BIGINT",
        "_place": "b.csv, row 1",
        "_raw": None,
        "id": "c",
        "v": "007",
        "w": "y",
        "at": "2024-01-01T02:00:00+02:00",
    }


def test_a_row_that_breaks_a_rule_is_kept_with_the_text_of_every_column(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT).put("a.parquet", dated(v=[1.5, 99.0], day=[START.date()] * 2, l=pa.array([[1], None])))
    made.ingest()
    [held] = made.held()
    assert (held["_reason"], held["_place"]) == ("v is outside 0 to 10", "a.parquet, row 2")
    assert (held["id"], held["v"], held["day"], held["l"], held["at"]) == ("e1", "99.0", "2024-01-01", None, "2024-01-01 00:01:00+00")


def test_a_malformed_record_is_kept_as_it_stands(tmp_path: Path) -> None:
    made = (
        feed(tmp_path)
        .put("a.csv", f"id,v,at\na,1,{Z}\nb,2,{Z},more\nc,3,{Z}\n")
        .put("b.jsonl", f'{{"id": "d", "v": 1, "at": "{Z}"}}\n{{"id": \n')
    )
    done = made.ingest()
    assert done.balance.rows_out == {"stored": 3, "repeated": 0, "quarantined": 2}
    assert [(h["_place"], h["_raw"], h["id"]) for h in made.held()] == [
        ("a.csv, line 3", f"b,2,{Z},more", None),
        ("b.jsonl, line 2", '{"id":', None),
    ]


LINES = {
    "csv": ["id,v,at", f"a,1,{Z}", f"b,99,{Z}", "c,1,soon", "ragged", f"d,,{Z}"],
    "jsonl": [
        f'{{"id":"a","v":1,"at":"{Z}"}}',
        f'{{"id":"b","v":99,"at":"{Z}"}}',
        '{"id":"c","v":1,"at":"soon"}',
        "{",
        f'{{"id":"d","at":"{Z}"}}',
    ],
}


@pytest.mark.parametrize("ending", LINES)
def test_nothing_is_held_twice_when_a_file_is_read_again(tmp_path: Path, ending: str) -> None:
    lines = LINES[ending]
    made = feed(tmp_path, contract=LIMIT)
    assert made.took(f"a.{ending}", "\n".join(lines) + "\n") == {"stored": 2, "repeated": 0, "quarantined": 3}
    held = made.held()
    assert len(held) == 3
    assert made.took(f"a.{ending}", "\n".join([*lines, lines[-1]]) + "\n") == {"stored": 0, "repeated": 3, "quarantined": 3}
    assert made.held() == held


def test_equal_rows_that_are_refused_are_all_counted(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT).put("a.csv", "id,v,at\n" + f"b,99,{Z}\n" * 3)
    done = made.ingest()
    assert (done.balance.rows_out["quarantined"], done.reasons) == (3, {"v is outside 0 to 10": 3})
    assert len(made.held()) == 3


def test_columns_that_are_named_like_quarantines_own_keep_their_texts(tmp_path: Path) -> None:
    names = ["_reason", "_raw", "_place", "_reason_", "_RAW__", "reason", "place", "row", "__place"]
    made = feed(tmp_path, contract=LIMIT)
    made.put("a.parquet", dated(v=[1, 99], **{n: [f"{n} 0", f"{n} 1"] for n in names}))
    made.ingest()
    [held] = made.held()
    assert held["_reason"] == "v is outside 0 to 10"
    shown = {n: held.get(f"{n}_" if n.lower().rstrip("_") in ("_reason", "_raw", "_place") else n) for n in names}
    assert shown == {n: f"{n} 1" for n in names}
    made.declare(contract=nr.Contract())
    made.replay()
    assert [made.column(n)[1] for n in names] == [f"{n} 1" for n in names]
    assert made.held() == []


def test_a_quarantine_of_before_is_carried_over_as_text(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT)
    old = pa.table(
        {
            "id": ["old"],
            "v": [50],
            "at": times(1),
            "_reason": ["r"],
            "_raw": pa.array([None], pa.string()),
            "_place": pa.array([None], pa.string()),
        }
    )
    made.store.append("events__quarantine", old, {"rows": 1})
    made.put("a.csv", f"id,v,at\na,1,{Z}\nb,99.5,{Z}\n").ingest()
    assert {(h["id"], h["v"]) for h in made.held()} == {("old", "50"), ("b", "99.5")}
    made.declare(contract=nr.Contract())
    assert made.replay().balance.rows_out["stored"] == 2
    assert made.column("v") == [1.0, 99.5, 50.0]
    assert made.held() == []


# --- replay -------------------------------------------------------------------------------------------------------------


def test_rows_are_taken_in_when_the_contract_is_corrected(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT).put("a.csv", f"id,v,at\na,1,{Z}\nb,99,{Z}\nc,-5,{Z}\nragged\n")
    made.ingest()
    made.declare(contract=nr.Contract(between={"v": (0, 100)}))
    done = made.replay()
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 1}
    assert made.column("v") == [1, 99]
    assert sorted((h["id"] or "", h["_raw"]) for h in made.held()) == [("", "ragged"), ("c", None)]
    assert made.replay().balance.rows_out == {"stored": 0, "repeated": 0, "quarantined": 1}
    assert len(made.held()) == 2


def test_rows_are_taken_in_when_the_type_is_declared(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,zip,at\na,10001,{Z}\n")
    made.ingest()
    made.put("b.csv", f"id,zip,at\nb,02139,{Z}\n").ingest()
    assert made.column("zip") == [10001]
    made.declare(source=nr.files("*", types={"zip": "VARCHAR"}))
    assert made.replay().balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 0}
    assert made.column("zip") == ["10001", "02139"]
    assert made.held() == []


def test_what_is_taken_in_again_is_the_value_that_was_refused(tmp_path: Path) -> None:
    from decimal import Decimal

    rows = dated(
        v=[99.0, 99.0],
        big=[2**63 - 1, None],
        f=[0.1, float("nan")],
        d=[Decimal("1.25"), Decimal("-0.01")],
        b=[b"\x00\xff", b"a"],
        ok=[True, None],
        text=["NA", 'it\'s "x"\n'],
        day=[START.date(), None],
        naive=pa.array([START.replace(tzinfo=None)] * 2, pa.timestamp("us")),
        numbers=pa.array([[1, None], []], pa.list_(pa.int64())),
        words=pa.array([["a b", "it's", None], ["NULL"]]),
        point=pa.array([{"x": 1, "y": "a, b"}, {"x": None, "y": ""}]),
        pairs=pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    )
    fine, strict = feed(tmp_path), LIMIT
    other = tmp_path / "strict"
    other.mkdir()
    fine.put("a.parquet", rows).ingest()
    made = feed(other, contract=strict)
    made.put("0.parquet", rows.set_column(2, "v", pa.array([1.0, 2.0])).set_column(0, "id", pa.array(["x", "y"]))).ingest()
    made.put("a.parquet", rows)
    assert made.ingest().balance.rows_out["quarantined"] == 2
    made.declare(contract=nr.Contract())
    assert made.replay().balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 0}
    wanted = {r["id"]: r for r in fine.rows()}
    for row in made.rows():
        if row["id"] in wanted:
            assert str(row) == str(wanted[row["id"]])


def test_a_table_without_quarantine_has_nothing_to_replay(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,at\na,{Z}\n")
    made.ingest()
    assert made.replay().balance.rows_in == 0


def test_pushed_rows_are_refused_with_their_text_too(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT)
    push(made.table, made.store, dated(v=[1, 99]))
    assert [(h["_place"], h["v"]) for h in made.held()] == [("pushed, row 2", "99")]


def test_new_columns_come_into_quarantine_as_they_come(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=LIMIT)
    made.put("a.csv", f"id,v,at\na,99,{Z}\n").put("b.csv", f"id,v,w,at\nb,98,x,{Z}\n")
    made.ingest()
    assert [(h["v"], h["w"]) for h in made.held()] == [("99", None), ("98", "x")]
