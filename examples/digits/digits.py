"""Which digit was written? From the scan of it, 8 × 8 pixels.

Read from top to bottom: the tables, the image that the model sees, the network, how it is released, watched and renewed.
"""

import numpy as np

import noria as nr

DIGITS = tuple(range(10))
SIDE, WHITE = 8, 16  # pixels; the brightest shade

# --- Facts: what was scanned, and what somebody typed a day later -----------------------------------------------------

scans = nr.Table(
    "scans",
    nr.files("data/scans.parquet"),
    key="scan_id",
    event_time="scanned_at",
    contract=nr.Contract(not_null=["pixels"], sql={"all pixels": f"len(pixels) = {SIDE * SIDE}"}),
)
typed = nr.Table(
    "typed",
    nr.files("data/typed.parquet"),
    key="scan_id",
    event_time="typed_at",
    contract=nr.Contract(one_of={"digit": list(DIGITS)}),
)

# --- What the model sees ----------------------------------------------------------------------------------------------


@nr.request_transform("picture", types={"picture": f"uint8[{SIDE}, {SIDE}]"})
def picture(rows):
    """The pixels as an image: so it is watched by its brightness, contrast and sharpness, and not by 64 numbers."""
    return {"picture": np.array(rows["pixels"].to_pylist(), np.uint8).reshape(-1, SIDE, SIDE)}


features = nr.FeatureSet("digits", spine=scans, request=[picture])

# --- How it is trained ------------------------------------------------------------------------------------------------


def flat(pictures):
    """Pictures as one array (rows, pixels), from 0 to 1."""
    return np.array([np.ravel(each) for each in pictures.to_pylist()], np.float32) / WHITE


class OnPixels:
    """What answers: it gets the columns of a batch, by name."""

    def __init__(self, fitted):
        self.fitted = fitted

    def predict(self, columns):
        return self.fitted.predict_proba(flat(columns["picture"]))


@nr.trainer
def network(train, *, seed, hidden=32, alpha=1.0):
    """A small neural network; for photos, a pretrained one stands in its place."""
    from sklearn.neural_network import MLPClassifier  # here, since only a training needs it

    fitted = MLPClassifier((hidden,), solver="lbfgs", alpha=alpha, max_iter=500, tol=3e-4, random_state=seed)
    return OnPixels(fitted.fit(flat(train.columns["picture"]), train.labels))


digit = nr.Model(
    "digit",
    features,
    label=nr.Label(typed, "digit", matures="25h"),
    task=nr.Multiclass(DIGITS),
    trainer=network,
    holdout="7d",
    gates=[nr.beats_champion("log_loss", by=-0.1)],
    trust=True,  # the network is sealed with the code around it, and code is only opened where the project says so
)

# --- How it is released, watched and renewed --------------------------------------------------------------------------

endpoint = nr.Endpoint("digit", digit, release=nr.Rollout(shadow="2d", at_most="7d", metric="log_loss", margin=0.2))

monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.1)])

retrain = nr.Retrain(digit, when=[nr.regression(), nr.stale("63d")], cooldown="7d")
