"""Expressions: row-wise and deterministic ones give their value; what would see the future, chance or the world is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import moments
from noria.data.table import Snapshot, SnapshotRows
from noria.features.check import check_views
from noria.features.compile import AT
from noria.features.fields import as_float32
from noria.features.point_in_time import PointInTime

KIND = "expressions"
TABLE = nr.Table("events", nr.files("none"), key="id", event_time="at")
ROWS = pa.table(
    {
        "id": [1],
        "value": [4.0],
        "count": [3],
        "name": ["Ab"],
        "flag": [True],
        "nil": pa.array([None], pa.float64()),
        "x y": [5],
        "at": moments(1),
        "tags": [[1, 2]],
    }
)

# Expressions of one row's columns, and the latest value that they give.
ROW_WISE: dict[str, float | None] = {
    "value": 4.0,
    "value * 2 + count": 11.0,
    "value / count": float(np.float32(4 / 3)),
    "count // 2": 1.0,
    "count % 2": 1.0,
    "-value": -4.0,
    "abs(-value)": 4.0,
    "greatest(value, count)": 4.0,
    "least(value, count)": 3.0,
    "round(value / count, 2)": float(np.float32(1.33)),
    "floor(1.5 * count)": 4.0,
    "sqrt(value)": 2.0,
    "ln(1)": 0.0,
    "power(count, 2)": 9.0,
    "value ** 2": 16.0,
    "coalesce(nil, 7)": 7.0,
    "nullif(value, 4)": None,
    "nil": None,
    "CASE WHEN value > 3 THEN 1 ELSE 0 END": 1.0,
    "if(flag, 2, 3)": 2.0,
    "length(name)": 2.0,
    "CAST(flag AS INTEGER)": 1.0,
    "CAST('12' AS INTEGER)": 12.0,
    "TRY_CAST(name AS INTEGER)": None,
    'extract(hour FROM "at")': 0.0,
    "date_diff('day', TIMESTAMPTZ '2023-12-31 00:00:00Z', \"at\")": 1.0,
    'epoch("at")': 1704067200.0,
    '"x y"': 5.0,
    '"count"': 3.0,
    "COUNT + 1": 4.0,
    "Value": 4.0,
    "len(tags)": 2.0,
    "tags[1]": 1.0,
    "list_sum(tags)": 3.0,
    "list_max(tags)": 2.0,
    "len(list_filter(tags, lambda t: t > 1))": 1.0,
    "(value IN (1, 4))::INTEGER": 1.0,
    "value IN (1, 4)": 1.0,
    "value BETWEEN 1 AND 5": 1.0,
    "hash(name) % 2 >= 0": 1.0,
    "strpos(name, 'b')": 2.0,
    "(value) -- the latest": 4.0,
    "0.0 / 0": None,
    "1e300 * 1e300": None,
    "regexp_matches(name, 'A')::INTEGER": 1.0,
    "1 / 0": None,
    "ascii(name)": 65.0,
}

BEYOND = [  # their row, or the same value each time
    "max(value) OVER (PARTITION BY name)",
    "sum(value) OVER ()",
    "row_number() OVER ()",
    'lag(value) OVER (ORDER BY "at")',
    'lead(value) OVER (ORDER BY "at")',
    'first_value(value) OVER (ORDER BY "at" DESC)',
    "value - avg(value) OVER ()",
    "CASE WHEN value > avg(value) OVER () THEN 1 ELSE 0 END",
    "(SELECT max(value) FROM events)",
    "(SELECT 1)",
    "value IN (SELECT value FROM events)",
    "EXISTS (SELECT 1)",
    "value > ALL (SELECT 1)",
    "max(value)",
    "sum(value)",
    "count(*)",
    "avg(DISTINCT value)",
    "list(value)",
    "string_agg(name)",
    "any_value(value)",
    "median(value)",
    "count(*) FILTER (WHERE value > 1)",
    "random()",
    "RANDOM()",
    "value + random()",
    "setseed(0.5)",
    "uuid()",
    "gen_random_uuid()",
    "now()",
    "current_timestamp",
    "current_date",
    "today()",
    "get_current_timestamp()",
    "transaction_timestamp()",
    'age("at")',
    "localtimestamp",
    "nextval('s')",
    "current_setting('threads')",
    "getenv('HOME')",
    "current_user",
    "current_schema",
    "version()",
    "pi() + random()",
    "getvariable('x')",
    "unnest(tags)",
    "list_aggregate(tags, 'reservoir_quantile', 0.5)",
    "txid_current()",
    "__noria_event",
    "*",
    "COLUMNS('value')",
    "?",
    "$1",
    "len(list_transform(tags, lambda t: random()))",
]

BROKEN = [
    "value +",
    "value, count",
    "value) FROM events --",
    "value FROM events",
    "nothing",
    "no_such_function(value)",
    "value AS v",
    "",
    "'a",
    "value; DROP TABLE events",
    "SELECT value",
    "value ORDER BY 1",
    "read_csv('x')",
    "value WHERE true",
    "name + ",
    "(value",
]


def _latest(expression: str) -> float | None:
    view = nr.FeatureView("v", TABLE, entity=(), latest={"f": expression}, ttl="1d")
    check_views([view], {"events": ROWS})
    facts = SnapshotRows(TABLE, Snapshot("events", 0, "", 1), ROWS)
    found = as_float32(PointInTime([facts]).join(pa.table({AT: moments(2).slice(1)}), [view]).column("f"))
    return None if np.isnan(found[0]) else float(found[0])


def _checked(**view: Any) -> None:
    check_views([nr.FeatureView("v", TABLE, entity=(), **view)], {"events": ROWS})


def inputs() -> Iterator[Input]:
    for expression, right in ROW_WISE.items():
        yield Input(KIND, expression, lambda e=expression: _latest(e), right)
    for expression in BEYOND:
        codes = refused("NR-213", "NR-211")
        yield Input(KIND, f"latest: {expression}", lambda e=expression: _checked(latest={"f": e}, ttl="1d"), codes)
        yield Input(
            KIND, f"within a sum: {expression}", lambda e=expression: _checked(aggregate={"f": nr.total(e, window="1h")}), codes, slow=True
        )
    for expression in BROKEN:
        yield Input(
            KIND,
            f"not one expression: {expression!r}",
            lambda e=expression: _checked(latest={"f": e}, ttl="1d"),
            refused("NR-211", "NR-203", "NR-213"),
        )
    for column in ("name", "flag", "tags"):
        yield Input(KIND, f"the latest {column}, in its own type", lambda c=column: _checked(latest=[c], ttl="1d"), None)
        for make in (nr.total, nr.mean, nr.maximum, nr.first, nr.last, nr.std):
            right = any_of(refused("NR-214", "NR-211"), None) if column == "flag" else refused("NR-214", "NR-211")
            if make in (nr.first, nr.last) or (make is nr.maximum and column == "name"):
                right = None  # the value as it is
            yield Input(KIND, f"{make.__name__} of {column}", lambda c=column, m=make: _checked(aggregate={"f": m(c, window="1h")}), right)
        yield Input(
            KIND,
            f"how many {column}s there are",
            lambda c=column: _checked(aggregate={"f": nr.count(c, window="1h"), "g": nr.distinct(c, window="1h")}),
            None,
        )
