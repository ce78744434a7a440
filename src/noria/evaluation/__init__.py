"""Evaluation: metrics, slices, and the gates a candidate has to pass.

In:  labels and predictions of a candidate and of the champion on rows that neither has seen
Out: an Evaluation, and for each gate passed, failed or unknown; unknown never opens a gate
"""

from noria.evaluation.gates import beats_champion, no_slice_worse

__all__ = ["beats_champion", "no_slice_worse"]
