"""How many bikes will be taken in an hour, six hours and a day from now? Forecast at the end of every hour.

Read from top to bottom: the series and the weather, what a forecast reads of their past, a model for each horizon, how it is released,
what is watched, and when it is renewed.
"""

import numpy as np
import pyarrow.compute as pc

import noria as nr

HORIZONS = ("1h", "6h", "24h")

# --- Facts, and when they are known (see prepare.py) ------------------------------------------------------------------

demand = nr.Table(
    "demand", nr.files("data/demand.parquet"), key="hour", event_time="hour", contract=nr.Contract(between={"count": (0, 5_000)})
)
weather = nr.Table("weather", nr.files("data/weather.parquet"), key="day_end", event_time="day_end")

# --- What a forecast reads --------------------------------------------------------------------------------------------


def ago(hours):
    """The count of so many hours ago: the oldest one in a window that reaches just so far."""
    return nr.first("count", window=f"{hours + 1}h")


# how it was at the hour that is forecast a day and a week before; and how it has been lately
lags = {f"ago_{hours}h": ago(hours) for hours in (1, 2, 18, 23, 47, 144, 162, 167)}
lately = {f"mean_{window}": nr.mean("count", window=window) for window in ("3h", "24h", "168h")}
recent = nr.FeatureView("recent", demand, entity=(), latest=["count"], ttl="1d", aggregate=lags | lately)

yesterday = nr.FeatureView("yesterday", weather, entity=(), latest=["coldest", "warmest", "rain"], ttl="2d")


@nr.request_transform("hour_of_day", "weekday")
def clock(rows):
    return {"hour_of_day": pc.hour(rows["hour"]), "weekday": pc.day_of_week(rows["hour"])}


# a forecast is made when an hour is over: the series is its own spine
features = nr.FeatureSet("hours", spine=demand, views=[recent, yesterday], request=[clock])

# --- How it is trained, and what a candidate must show ----------------------------------------------------------------


@nr.trainer
def boosted(train, *, seed, rounds=150, learning_rate=0.06):
    """Gradient-boosted trees for each horizon, on the hours whose outcome there is known."""
    import lightgbm  # here, since only a training needs it: every other command starts a second sooner

    parameters = {
        "objective": "regression_l1",
        "learning_rate": learning_rate,
        "num_leaves": 31,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.8,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    models = {}
    for horizon, outcomes in zip(HORIZONS, train.labels.T, strict=True):
        known = ~np.isnan(outcomes)
        rows = lightgbm.Dataset(train.features[known], outcomes[known], feature_name=list(train.names))
        models[horizon] = lightgbm.train(parameters, rows, num_boost_round=rounds)
    return models


bikes = nr.Model(
    "bikes",
    features,
    label=nr.Label(demand, "count", matures="25h"),
    task=nr.Forecast(horizons=HORIZONS, unit="bikes"),
    trainer=boosted,
    holdout="14d",
    gates=[nr.beats_champion("absolute_error", by=-4), nr.beats_champion("24h.absolute_error", by=-8)],
)

# --- How it is released, watched and renewed --------------------------------------------------------------------------

endpoint = nr.Endpoint("bikes", bikes, release=nr.Rollout(shadow="3d", at_most="10d", metric="absolute_error", margin=4.0))

monitor = nr.Monitor(
    endpoint,
    false_alarms_per_year=12,
    performance=[nr.Tolerance("absolute_error", by=6.0), nr.Tolerance("mean_residual", by=10.0)],
)

retrain = nr.Retrain(bikes, when=[nr.regression(), nr.stale("63d")], cooldown="28d")
