"""Edges: awkward inputs of every kind, each with its right value beside it."""
