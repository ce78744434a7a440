"""What every other package stands on: errors, the clock, ids, randomness, files, health, settings.

In:  nothing of Noria
Out: values and small ports; no package below is ever imported here
"""
