"""Will a car loan be repaid? Asked when somebody applies; the outcome is known two months later.

Read from top to bottom: the tables and when their facts are known, what the model reads, how it is released, what is watched while no
outcome is known yet, and when it is renewed.
"""

from sklearn.ensemble import HistGradientBoostingClassifier

import noria as nr

NUMBERS = ("car_value", "debt_to_income_ratio", "loan_length", "driver_tenure")
TEXTS = ("salary_range", "size_of_downpayment")

# --- Facts, and when they are known (see prepare.py) ------------------------------------------------------------------

applications = nr.Table(
    "applications",
    nr.files("data/applications.parquet"),
    key="loan_id",
    event_time="applied_at",
    contract=nr.Contract(between={"car_value": (0, None)}),
)
outcomes = nr.Table(
    "outcomes",
    nr.files("data/outcomes.parquet"),
    key="loan_id",
    event_time="settled_at",
    known_at="stated_at",  # nothing is known before the statement, whatever happened before
    contract=nr.Contract(not_null=["repaid"]),
)

# --- What the model reads ---------------------------------------------------------------------------------------------


@nr.request_transform(*NUMBERS, *TEXTS, "repaid_before", types=dict.fromkeys(TEXTS, "string"))
def application(rows):
    return {**{name: rows[name] for name in (*NUMBERS, *TEXTS)}, "repaid_before": rows["repaid_loan_on_prev_car"]}


features = nr.FeatureSet("loans", spine=applications, request=[application])

# --- How it is trained, and what a candidate must show ----------------------------------------------------------------

repaid = nr.Model(
    "repaid",
    features,
    label=nr.Label(outcomes, "repaid", matures="77d"),  # 70 days, and up to a week until the statement
    trainer=nr.sklearn(HistGradientBoostingClassifier(max_iter=60)),
    holdout="14d",
    gates=[nr.beats_champion("log_loss", by=-0.01), nr.no_slice_worse("log_loss", over=["salary_range"], by=0.03)],
)

# --- How it is released, watched and renewed --------------------------------------------------------------------------

# A shadow is compared with the champion on outcomes, and would wait for them as long as everybody: here the gates decide, on rows whose
# outcome is known.
endpoint = nr.Endpoint("repaid", repaid, release=nr.Immediate())

# Before outcomes come, the monitor estimates the loss from the scores and watches the inputs; both tell a person. Outcomes have it retrain.
monitor = nr.Monitor(endpoint, false_alarms_per_year=4, performance=[nr.Tolerance("log_loss", by=0.02)], slices=["salary_range"])

retrain = nr.Retrain(repaid, when=[nr.regression()], cooldown="28d")
