"""Models: what is declared, the sealed bundle that crosses from training to serving, its runtime and its registry.

In:  a fitted model, its signature, profile and lineage
Out: Bundles (immutable, content-addressed, verified at load) and ModelVersions in the registry
"""

from noria.models.bundle import Bundle
from noria.models.model import Model
from noria.models.python_model import PythonModel

__all__ = ["Bundle", "Model", "PythonModel"]
