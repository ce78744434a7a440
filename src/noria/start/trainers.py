"""The first trainer of a proposed project, as text: one that does well without tuning on the kind of inputs that there are."""

from __future__ import annotations

from dataclasses import dataclass

from noria.start.choices import Proposal
from noria.start.writing import text


@dataclass(frozen=True)
class FirstTrainer:
    """imports: lines; above: what has to stand before the model; value: of `nr.Model(trainer=…)`; about: a comment; name: in words"""

    imports: tuple[str, ...]
    value: str
    about: str
    name: str
    above: str = ""


def trainer_of(p: Proposal) -> FirstTrainer:
    """The trainer for a proposal's task and inputs."""
    if p.model is not None:
        about = "The model as it is, read from its file. Put a trainer in its place once it is to learn from new data."
        return FirstTrainer((), f"nr.model_file({text(p.model.file)})", about, p.model.kind)
    regression = p.task.name in ("regression", "forecast")
    if p.inputs.image:
        return _pictures(regression=regression, binary=p.task.name == "binary")
    if p.inputs.pixels and not p.inputs.texts:
        return _pixels(regression=regression)
    if p.inputs.prose:
        return _words(p, regression=regression)
    kind = "HistGradientBoostingRegressor" if regression else "HistGradientBoostingClassifier"
    about = "Gradient-boosted trees do well without tuning, and take unknown values as they are."
    if p.task.name == "forecast":
        about += " One is fitted for each horizon."
    return FirstTrainer((f"from sklearn.ensemble import {kind}",), f"nr.sklearn({kind}())", about, "gradient-boosted trees")


def _words(p: Proposal, *, regression: bool) -> FirstTrainer:
    kind, made = ("Ridge", "Ridge()") if regression else ("LogisticRegression", "LogisticRegression(max_iter=1000)")
    about = "A linear model on weights of words: hard to beat with some thousand texts."
    imports = [f"from sklearn.linear_model import {kind}"]
    if p.inputs.numbers or p.inputs.calendar or p.inputs.pixels:
        imports += ["from sklearn.pipeline import make_pipeline", "from sklearn.preprocessing import StandardScaler"]
        return FirstTrainer(tuple(imports), f"nr.sklearn(make_pipeline(StandardScaler(), {made}))", about, "a linear model on words")
    return FirstTrainer(tuple(imports), f"nr.sklearn({made})", about, "a linear model on words")


def _pixels(*, regression: bool) -> FirstTrainer:
    kind = "MLPRegressor" if regression else "MLPClassifier"
    imports = (
        f"from sklearn.neural_network import {kind}",
        "from sklearn.pipeline import make_pipeline",
        "from sklearn.preprocessing import StandardScaler",
    )
    value = f"nr.sklearn(make_pipeline(StandardScaler(), {kind}((100,), max_iter=300)))"
    about = "A small neural network: pixels mean something together, which trees see badly."
    return FirstTrainer(imports, value, about, "a small neural network on pixels")


def _pictures(*, regression: bool, binary: bool) -> FirstTrainer:
    kind, method = ("MLPRegressor", "predict") if regression else ("MLPClassifier", "predict_proba")
    answer = f'self.fitted.{method}(flat(columns["picture"]))' + ("[:, 1]" if binary else "")
    above = f'''
def flat(pictures):
    """Pictures as one array (rows, pixels), from 0 to 1."""
    return np.array([np.ravel(each) for each in pictures.to_pylist()], np.float32) / 255


class OnPixels:
    """What answers: it gets the columns of a batch, by name."""

    def __init__(self, fitted):
        self.fitted = fitted

    def predict(self, columns):
        return {answer}


@nr.trainer
def network(train, *, seed, hidden=100):
    from sklearn.neural_network import {kind}

    fitted = {kind}((hidden,), max_iter=300, random_state=seed)
    return OnPixels(fitted.fit(flat(train.columns["picture"]), train.labels))

'''
    about = "A small neural network on the pixels themselves: for photos, put a pretrained network in its place."
    return FirstTrainer((), "network", about, "a small neural network on pixels", above)
