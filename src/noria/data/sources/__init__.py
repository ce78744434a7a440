"""Sources: where raw rows come from, one module each, behind the port in `port`.

In:  files (here or behind any fsspec URL), SQL queries, streams
Out: a `Batch` of `Piece`s, each loaded into the engine with the types that its source states, or as text where it states none
"""
