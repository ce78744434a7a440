"""Monitoring: windows of predictions and outcomes, detectors on them, findings with evidence.

In:  the prediction log and the outcomes, cut into windows
Out: Findings within a stated budget of false alarms; a monitor that saw nothing is unknown, never well
"""

from noria.monitoring.answers.shares import AnswerShare
from noria.monitoring.answers.spending import SpendingLimit
from noria.monitoring.business import BusinessMetric
from noria.monitoring.monitor import Monitor, Tolerance

__all__ = ["AnswerShare", "BusinessMetric", "Monitor", "SpendingLimit", "Tolerance"]
