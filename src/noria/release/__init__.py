"""Release: how a challenger takes over, and the sequential statistics that decide it.

In:  losses of champion and challenger on the same requests, by day
Out: promote, refuse, or wait for another day
"""

from noria.release.endpoint import SLO, Endpoint
from noria.release.rollout import Immediate, Rollout

__all__ = ["SLO", "Endpoint", "Immediate", "Rollout"]
