"""Evaluation: what a model's labels and answers mean, how they are judged, and the gates a candidate has to pass.

In:  outcomes and scores of a candidate and of the champion on rows that neither has seen
Out: figures, an Evaluation, and for each gate passed, failed or unknown; unknown never opens a gate
"""

from noria.evaluation.binary import Binary
from noria.evaluation.forecast import Forecast
from noria.evaluation.gates import beats_champion, no_slice_worse
from noria.evaluation.generation import Generation
from noria.evaluation.metric import Metric
from noria.evaluation.multi_output import MultiOutput
from noria.evaluation.multiclass import Multiclass
from noria.evaluation.multilabel import Multilabel
from noria.evaluation.ranking import Ranking
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task

__all__ = [
    "Binary",
    "Forecast",
    "Generation",
    "Metric",
    "MultiOutput",
    "Multiclass",
    "Multilabel",
    "Ranking",
    "Regression",
    "Task",
    "beats_champion",
    "no_slice_worse",
]
