"""Statistics of monitoring and release: pure functions on numpy arrays, each with its source.

In:  arrays of windows or days, never rows (production rows are not independent)
Out: evidence: e-processes and confidence sequences that may be looked at after every window
"""
