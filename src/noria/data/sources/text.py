"""Texts as values, strictly: SQL that gives the value a text stands for, or null where it stands for no value of that type.

One way of writing per value counts, so that two different texts never become one value by chance: `0000077` is no whole number
(but a text), `2.5` neither, `2024-01-01` is no moment, and a time without an offset is no time with a zone. Times are rounded up
to whole microseconds, so that nothing is seen before it happened.
"""

from __future__ import annotations

from noria.core.sql import RESERVED, literal

WHOLE = "^-?(0|[1-9][0-9]*)$"
NUMBER = "^-?(0|[1-9][0-9]*|0?)([.][0-9]*)?([eE][+-]?[0-9]+)?$"
PLAIN = "^-?(0|[1-9][0-9]*)([.][0-9]+)?$"
NOT_FINITE = ("nan", "NaN", "NAN", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity", "infinity", "-infinity")
DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
CLOCK = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
OFFSET = "( ?(Z|z|UTC)|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$"
LONGEST_EXACT = 26  # characters of a time to the microsecond, without an offset
EXACT_DIGITS = 15  # that every float64 carries through a text


def value_of(text: str, kind: str, *, lenient: bool = False) -> str:
    """SQL for the value of a SQL expression `text` as `kind` (BIGINT, DOUBLE, DECIMAL(p,s), BOOLEAN, DATE, TIMESTAMP, TIMESTAMP WITH
    TIME ZONE, VARCHAR, BLOB); null where it stands for none.

    lenient: for declared numbers: a plus sign and leading zeros are no obstacle, since the user has said that it is a number
    """
    if kind == "VARCHAR":
        return text
    if kind == "BIGINT":
        return _whole(f"regexp_replace({_plain_number(text)}, '[.]0*$', '')" if lenient else text)
    if kind == "DOUBLE":
        return _double(_plain_number(text) if lenient else text)
    if kind.startswith("DECIMAL") and kind.endswith(")"):
        return _decimal(_plain_number(text) if lenient else text, kind)
    if kind == "BOOLEAN":
        return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    if kind == "DATE":
        return f"CASE WHEN regexp_matches({text}, {literal(DAY)}) THEN TRY_CAST({text} AS DATE) END"
    if kind == "TIMESTAMP":
        naive = f"(regexp_matches({text}, {literal(CLOCK + '$')}) OR regexp_matches({text}, {literal(DAY)}))"
        return f"CASE WHEN {naive} THEN {_rounded_up(text, 'TIMESTAMP')} END"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN regexp_matches({text}, {literal(CLOCK + OFFSET)}) THEN {_rounded_up(text, 'TIMESTAMPTZ')} END"
    if kind == "BLOB":
        return f"TRY_CAST({text} AS BLOB)"
    return _nested(text, kind)


def fits(text: str, kind: str, *, lenient: bool = False) -> str:
    """SQL that is true where the text stands for a value of the kind (and null where it is null)."""
    return f"({value_of(text, kind, lenient=lenient)}) IS NOT NULL"


def with_point(text: str) -> str:
    """SQL for a number written with a decimal comma, with a point instead; what is no such number stays as it is."""
    return f"CASE WHEN regexp_matches({text}, '^-?[0-9]+(,[0-9]+)?$') THEN replace({text}, ',', '.') ELSE {text} END"


def _whole(text: str) -> str:
    return f"CASE WHEN TRY_CAST({text} AS BIGINT)::VARCHAR = {text} THEN TRY_CAST({text} AS BIGINT) END"


def _double(text: str) -> str:
    number = f"TRY_CAST({text} AS DOUBLE)"
    kept = f"length({text}) <= {EXACT_DIGITS} OR {_digits(text)} = {_digits(f'{number}::VARCHAR')}"  # else it is another number
    finite = f"WHEN regexp_matches({text}, {literal(NUMBER)}) AND isfinite({number}) AND ({kept}) THEN {number}"
    return f"CASE {finite} WHEN {text} IN ({', '.join(map(literal, NOT_FINITE))}) THEN {number} END"


def _digits(text: str) -> str:
    """SQL for the significant digits of a number's text."""
    return f"trim(replace(split_part(lower({text}), 'e', 1), '.', ''), '-0')"


def _decimal(text: str, kind: str) -> str:
    scale = int(kind.rpartition(",")[2].rstrip(") "))
    beyond = f"regexp_matches({text}, {literal(f'[.][0-9]{{{scale}}}[0-9]*[1-9]')})"  # a digit that would be lost
    return f"CASE WHEN regexp_matches({text}, {literal(PLAIN)}) AND NOT {beyond} THEN TRY_CAST({text} AS {kind}) END"


def _nested(text: str, kind: str) -> str:
    """A list, struct or map, from how the engine writes it or from JSON of which the value loses nothing: a cast makes nulls of what it
    can't read, and 3 of 2.5."""
    written, json = f"TRY_CAST({text} AS {kind})", f"TRY_CAST({text} AS JSON)"
    cases = f"WHEN {written}::VARCHAR = {text} THEN {written} "
    if kind.endswith("[]") and not kind.startswith(("STRUCT", "MAP")):
        item, items = f"{RESERVED}item", f"TRY_CAST({json} AS VARCHAR[])"
        values = f"list_transform({items}, lambda {item}: {value_of(item, kind.removesuffix('[]'))})"
        nulls = (f"len(list_filter({found}, lambda {item}: {item} IS NULL))" for found in (values, items))
        return f"CASE {cases} WHEN {' = '.join(nulls)} THEN {values} END"
    value = f"TRY_CAST({json} AS {kind})"
    return f"CASE {cases} WHEN json_contains(to_json({value}), {json}) THEN {value} END"


def _plain_number(text: str) -> str:
    return f"regexp_replace({text}, '^([+]|(-))?0*([0-9])', '\\2\\3')"


def _rounded_up(text: str, kind: str) -> str:
    lost = f"length({text}) > {LONGEST_EXACT} AND regexp_matches({text}, '[.][0-9]{{6}}[0-9]*[1-9]')"
    plain = f"CASE WHEN right({text}, 1) IN ('z', 'C') THEN regexp_replace({text}, ' ?(z|UTC)$', 'Z') ELSE {text} END"
    return f"TRY_CAST({plain} AS {kind}) + CASE WHEN {lost} THEN INTERVAL 1 MICROSECOND ELSE INTERVAL 0 MICROSECOND END"
