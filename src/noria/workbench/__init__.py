"""Workbench: a project opened from Python or a notebook, and what it gives as typed results.

In:  a project's folder, or feature views and a data frame
Out: tables, training sets, evaluations, replays and findings, each as a data frame, a page or plain data
"""

from noria.workbench.features_for import features_for
from noria.workbench.open_project import OpenProject, open
from noria.workbench.result import Result

__all__ = ["OpenProject", "Result", "features_for", "open"]
