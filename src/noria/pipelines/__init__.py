"""Pipelines: runs and their tracking.

In:  what a training did (parameters, metrics, lineage, the bundle it made)
Out: a tracked Run that other tools can read, and the registry that points at its bundles
"""
