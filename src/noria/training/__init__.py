"""Training: from a TrainingSet to a candidate that is sealed in a bundle.

In:  a Model's declaration, a TrainingSet, a seed
Out: a Candidate: its bundle, its evaluation against the champion, its cost
"""

from noria.training.estimators import sklearn
from noria.training.given import model_file
from noria.training.trainer import Trainer, trainer

__all__ = ["Trainer", "model_file", "sklearn", "trainer"]
