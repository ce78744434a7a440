"""Release: how a challenger takes over, and the sequential statistics that decide it.

In:  losses of champion and challenger, by day: on the same requests in a shadow, each on its own in an A/B test; scores of their answers
Out: promote, refuse, or wait for another day
"""

from noria.release.ab_test import ABTest
from noria.release.endpoint import SLO, Endpoint
from noria.release.rollout import Immediate, Rollout

__all__ = ["SLO", "ABTest", "Endpoint", "Immediate", "Rollout"]
