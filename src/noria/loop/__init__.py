"""The loop: observe → decide → act, live and over history.

In:  a project, its stores, a clock
Out: decisions with their evidence, and what was done about them

`project` loads what the user declared, `workspace` says where everything lies, `observe` turns the log and the catalog into
a State, `decide` is a pure function of it, `act` carries actions out, `controller` is one turn of the three, and `replay`
turns it over history.
"""

from noria.loop.retrain import Retrain, changed, drift, regression, stale

__all__ = ["Retrain", "changed", "drift", "regression", "stale"]
