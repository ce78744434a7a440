"""Typed inputs as the columns of a profile: what each becomes, also after it was sealed; what was never seen shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from noria.core.signature import Field
from noria.data.rows import Rows
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import STATISTICS, Profile, profile

RNG = np.random.default_rng(0)
START = datetime(2024, 1, 1, tzinfo=UTC)
COUNT = 600
WORDS = ["parcel", "late", "again", "driver", "rude", "box", "fine"]
AT = np.array([(START + timedelta(hours=i)).timestamp() for i in range(COUNT)])
COLUMNS: dict[Field, list[Any]] = {
    Field("n", "int64"): [2**40 + i for i in range(COUNT)],
    Field("x"): RNG.normal(size=COUNT).tolist(),
    Field("flag", "bool"): [i % 3 == 0 for i in range(COUNT)],
    Field("city", "string"): RNG.choice(["ams", "ber", "cph"], COUNT, p=[0.5, 0.3, 0.2]).tolist(),
    Field("store", "string"): [f"S{n}" for n in RNG.integers(0, 90, COUNT)],
    Field("code", "string"): [f"C-{n}" for n in RNG.permutation(COUNT)],
    Field("note", "string"): [" ".join(RNG.choice(WORDS, 8)) for _ in range(COUNT)],
    Field("since", "timestamp"): [START + timedelta(hours=i - 5) for i in range(COUNT)],
    Field("tags", "string", (None,)): [["t"] * (i % 4) for i in range(COUNT)],
    Field("steps", "float32", (None,)): [[0.5] * (i % 5) for i in range(COUNT)],
    Field("vector", "float32", (3,)): RNG.normal(size=(COUNT, 3)).tolist(),
    Field("embedding", "float64", (None,)): RNG.normal(size=(COUNT, 4)).tolist(),
    Field("raw", "bytes"): [b"x"] * COUNT,
    Field("pair", "string", (2,)): [["a", "b"]] * COUNT,
}


def rows(**changes: list[Any]) -> Rows:
    columns = [changes.get(field.name, values) for field, values in COLUMNS.items()]
    return Rows.of_values(tuple(COLUMNS), list(zip(*columns, strict=True)))


@pytest.fixture(scope="module")
def fitted() -> InputProjections:
    return InputProjections.from_json(InputProjections.fit(rows()).to_json())


def column(fitted: InputProjections, name: str, **changes: list[Any]) -> np.ndarray:
    return fitted.of(rows(**changes), AT)[:, fitted.names.index(name)]


def test_each_input_becomes_numbers_by_its_type(fitted: InputProjections) -> None:
    assert column(fitted, "n").tolist() == COLUMNS[Field("n", "int64")]
    assert column(fitted, "flag")[:3].tolist() == [1.0, 0.0, 0.0]
    city = dict(zip(COLUMNS[Field("city", "string")], column(fitted, "city"), strict=True))
    assert city == {"ams": 0.0, "ber": 1.0, "cph": 2.0}  # the most frequent first
    assert fitted.labels["city"] == ("ams", "ber", "cph")
    assert set(column(fitted, "since (hours before)").tolist()) == {5.0}
    assert column(fitted, "tags (values)")[:5].tolist() == [0, 1, 2, 3, 0]
    assert column(fitted, "steps (values)")[:5].tolist() == [0, 1, 2, 3, 4]
    assert {name for name in fitted.names if name.startswith("vector")} >= {"vector (length)", "vector (direction 1)", "vector (rest)"}
    assert {name for name in fitted.names if name.startswith("embedding")} >= {"embedding (length)", "embedding (direction 1)"}
    assert {name for name in fitted.names if name.startswith("note")} >= {"note (characters)", "note (words)", "note (surprise)"}
    assert [name for name in fitted.names if name.startswith("code")] == [
        f"code ({w})" for w in ("characters", "letters", "digits", "capitals", "foreign")
    ]


def test_what_becomes_no_number_is_named(fitted: InputProjections) -> None:
    assert fitted.left_out == {"raw": "bytes is not profiled", "pair": "string[2] is not profiled"}
    assert set(fitted.inputs.values()) | set(fitted.left_out) == {field.name for field in COLUMNS}


def test_what_is_sealed_says_the_same_to_the_last_bit(fitted: InputProjections) -> None:
    np.testing.assert_array_equal(fitted.of(rows(), AT), InputProjections.fit(rows()).of(rows(), AT))
    assert InputProjections.from_json(fitted.to_json()).to_json() == fitted.to_json()


def test_null_is_unknown_in_every_column_of_its_input(fitted: InputProjections) -> None:
    nothing = fitted.of(Rows.unknown(tuple(COLUMNS), COUNT), AT)
    assert np.isnan(nothing).all()


def test_shares_of_an_input_are_those_of_its_columns_together(fitted: InputProjections) -> None:
    shares = fitted.shares({field.name: 1.0 for field in COLUMNS})
    for name in fitted.fitted:
        own = [share for share, of in zip(shares, fitted.inputs.values(), strict=True) if of == name]
        assert sum(own) == pytest.approx(1.0)


def reference(fitted: InputProjections) -> Profile:
    return profile(fitted.names, fitted.of(rows(), AT), np.arange(COUNT) // 20)


@pytest.mark.parametrize(
    ("name", "values", "statistic", "seen"),
    [
        ("city", ["osl"] * COUNT, "outside", "city"),
        ("store", ["S1000"] * COUNT, "outside", "store (new)"),
        ("tags", [["t"] * 50] * COUNT, "outside", "tags (values)"),
        ("flag", [None] * COUNT, "null_share", "flag"),
        ("since", [START - timedelta(days=900)] * COUNT, "outside", "since (hours before)"),
    ],
)
def test_what_was_never_seen_shows_in_the_statistics_of_a_window(
    fitted: InputProjections, name: str, values: list[Any], statistic: str, seen: str
) -> None:
    known, place = reference(fitted), fitted.names.index(seen)
    before, after = (known.statistics(fitted.of(part, AT))[place, STATISTICS.index(statistic)] for part in (rows(), rows(**{name: values})))
    assert after - before > 0.4
