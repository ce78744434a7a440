"""Will this flight arrive more than 15 minutes late? Predicted one hour before its scheduled departure.

Read from top to bottom: the tables and when their facts are known, what the model reads, how it is trained, how it is
released, what is watched, and when it is renewed.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import noria as nr

# --- Facts, and when they are known (see prepare.py) ------------------------------------------------------------------

schedule = nr.Table(
    "schedule", nr.files("data/schedule.parquet"), key="flight_id", event_time="scheduled_departure", known_at="published_at"
)
departures = nr.Table("departures", nr.files("data/departures.parquet"), key="flight_id", event_time="actual_departure")
arrivals = nr.Table(
    "arrivals",
    nr.files("data/arrivals.parquet"),
    key="flight_id",
    event_time="ended_at",
    contract=nr.Contract(not_null=["late"]),
)
weather = nr.Table(
    "weather",
    nr.files("data/weather.parquet"),
    key=("origin", "observed_at"),
    event_time="observed_at",
    known_at="reported_at",
    contract=nr.Contract(one_of={"origin": ["EWR", "JFK", "LGA"]}),
)

# --- What the model reads ---------------------------------------------------------------------------------------------


def recent(prefix, windows):
    """Delay, share of late departures and traffic over the last hours."""
    features = {}
    for window in windows:
        features[f"{prefix}_delay_{window}"] = nr.mean("dep_delay", window=window)
        features[f"{prefix}_late_share_{window}"] = nr.mean("(dep_delay > 15)::INT", window=window)
        features[f"{prefix}_departures_{window}"] = nr.count(window=window)
    return features


by_origin = nr.FeatureView("by_origin", departures, entity="origin", aggregate=recent("origin", ["2h", "6h", "24h"]), freshness="15m")
by_carrier = nr.FeatureView("by_carrier", departures, entity="carrier", aggregate=recent("carrier", ["2h", "6h", "24h"]), freshness="15m")
by_both = nr.FeatureView(
    "by_origin_and_carrier",
    departures,
    entity=("origin", "carrier"),
    aggregate=recent("origin_carrier", ["3h", "24h"]),
    freshness="15m",
)
by_destination = nr.FeatureView("by_destination", departures, entity="dest", aggregate=recent("dest", ["4h", "24h"]), freshness="15m")
sky = nr.FeatureView(
    "sky",
    weather,
    entity="origin",
    latest=["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"],
    ttl="6h",
)

CARRIERS = np.array(["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"])
ORIGINS = np.array(["EWR", "JFK", "LGA"])


def code(values, known):
    """The place of each value in a sorted list, NaN for a value that is not in it."""
    values = np.asarray(values.to_pylist())
    place = np.searchsorted(known, values)
    place = np.minimum(place, len(known) - 1)
    return np.where(known[place] == values, place, np.nan)


@nr.request_transform("hour", "weekday")
def calendar(flights):
    """Local hour and weekday: people and airports live by the clock on the wall, daylight saving included."""
    local = pc.local_timestamp(flights["scheduled_departure"].cast(pa.timestamp("us", tz="America/New_York")))
    return {
        "hour": pc.add(pc.hour(local), pc.divide(pc.minute(local), 60.0)),
        "weekday": pc.day_of_week(local),
    }


@nr.request_transform("carrier_code", "origin_code", "distance", "scheduled_minutes")
def route(flights):
    minutes = pc.minutes_between(flights["scheduled_departure"], flights["scheduled_arrival"])
    return {
        "carrier_code": code(flights["carrier"], CARRIERS),
        "origin_code": code(flights["origin"], ORIGINS),
        "distance": flights["distance"],
        "scheduled_minutes": minutes,
    }


features = nr.FeatureSet(
    "flight_delay",
    spine=schedule,
    lead="1h",
    views=[by_origin, by_carrier, by_both, by_destination, sky],
    request=[calendar, route],
)

# --- How it is trained, and what a candidate must show ----------------------------------------------------------------


@nr.trainer
def boosted(train, *, seed, rounds=200, learning_rate=0.05):
    """Gradient-boosted trees; `deterministic` makes equal data give equal digits."""
    import lightgbm  # here, since only a training needs it: every other command starts a second sooner

    parameters = {
        "objective": "binary",
        "learning_rate": learning_rate,
        "num_leaves": 31,
        "max_bin": 63,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(train.features, train.labels, feature_name=list(train.names))
    return lightgbm.train(parameters, data, num_boost_round=rounds)


delay = nr.Model(
    "delay",
    features,
    label=nr.Label(arrivals, "late", positive=1, matures="37h"),
    trainer=boosted,
    holdout="14d",
    gates=[
        nr.beats_champion("log_loss", by=-0.02),
        nr.no_slice_worse("log_loss", over=["origin", "carrier"], by=0.05),
    ],
)

# --- How it is released, watched and renewed --------------------------------------------------------------------------

endpoint = nr.Endpoint(
    "delay", delay, release=nr.Rollout(shadow="3d", at_most="10d", metric="log_loss", margin=0.03), slo=nr.SLO(p99_ms=20)
)

monitor = nr.Monitor(
    endpoint,
    false_alarms_per_year=12,
    performance=[nr.Tolerance("calibration", by=0.03), nr.Tolerance("log_loss", by=0.05)],
    slices=["origin_code"],
)

retrain = nr.Retrain(delay, when=[nr.regression(), nr.stale("63d")], cooldown="28d")
