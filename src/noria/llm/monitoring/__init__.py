"""Watching applications in production: judges of a sample of their answers, and steps of an answer in a trace.

In:  a judge, and what is known of its errors
Out: what `nr.Monitor(judged=…)` takes; the loop asks it (`noria.monitoring.answers.sampling`)

    sampled.py   a judge as monitors take it
    step.py      steps of an answer as spans: tools and agents
"""

from noria.llm.monitoring.sampled import sampled
from noria.llm.monitoring.step import step

__all__ = ["sampled", "step"]
