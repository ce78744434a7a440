"""The monitors of an endpoint, one file each.

In:  the catalog, the prediction log and the tables of an endpoint, as of a moment
Out: what each monitor says: healths for people who look, findings for people who are called

A monitor is a class that implements `Reading` and is registered by `@monitor`; a new file in this folder is all that a new one needs.
"""
