"""Every byte that outlives a process: the catalog (SQL), tables (Delta Lake), objects (content-addressed files).

In:  values from the rooms below
Out: the same values, after any crash
"""
