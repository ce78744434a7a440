"""Outside systems: one module each, implementing a port that lives beside its embedded default.

Loaded by name on first use (`noria.core.plugins`); nothing imports this package.
"""
