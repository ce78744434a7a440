"""The first hour: a project proposed from a user's own data (`noria init`), and what a machine has for it (`noria doctor`).

In:   files, a SQL query, or a folder of images; what the user decides by flags
Out:  proposals with their reasons, and a project that runs at once; checks that passed, failed or are unknown
"""
