"""Evidence: what people read afterwards: figures, reports, status, explanations.

In:  the catalog, the prediction log, bundles
Out: plain figures for programs, and the same as text and pictures for people
"""
