"""Every byte that outlives a process: the catalog (SQL), tables (Delta Lake), objects (content-addressed files).

In:  values from the rooms below
Out: the same values, after any crash; of the catalog's tables as typed rows, from the repository of each (`decisions`, `windows`, …)
"""
