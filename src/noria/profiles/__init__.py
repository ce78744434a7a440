"""Profiles: what the values of columns are like, as summaries that merge and fit into a bundle.

In:  columns of numbers, texts, categories, times and embeddings
Out: sketches of windows, frozen references, and projections of every kind of column onto numbers
"""
