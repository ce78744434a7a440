"""How many minutes late will this flight arrive? A second model of the project, on the same tables and features.

`noria.toml` names `flights` as the project's module. With `NORIA_PROJECT_MODULE=minutes`, or `module = "minutes"` there, the project is
this module and what it imports: two models, and an endpoint for each.
"""

import noria as nr
from flights import arrivals, features


@nr.trainer
def in_minutes(train, *, seed, rounds=200, learning_rate=0.05):
    """Gradient-boosted trees on the Huber loss: a flight that is five hours late counts, but not as much as its square."""
    import lightgbm  # here, since only a training needs it: every other command starts a second sooner

    parameters = {
        "objective": "huber",
        "alpha": 20.0,
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


minutes = nr.Model(
    "minutes",
    features,
    label=nr.Label(arrivals, "arr_delay", matures="37h"),  # null, and so never known, for a flight that did not arrive
    task=nr.Regression(unit="min"),
    trainer=in_minutes,
    holdout="14d",
    gates=[
        nr.beats_champion("absolute_error", by=-1.0),
        nr.no_slice_worse("absolute_error", over=["origin", "carrier"], by=3.0),
    ],
)

endpoint_in_minutes = nr.Endpoint(
    "minutes", minutes, release=nr.Rollout(shadow="3d", at_most="10d", metric="absolute_error", margin=1.0), slo=nr.SLO(p99_ms=20)
)

monitor_in_minutes = nr.Monitor(
    endpoint_in_minutes,
    false_alarms_per_year=12,
    performance=[nr.Tolerance("mean_residual", by=4.0), nr.Tolerance("absolute_error", by=2.0)],
    slices=["origin_code"],
)

retrain_in_minutes = nr.Retrain(minutes, when=[nr.regression(), nr.stale("63d")], cooldown="28d")
