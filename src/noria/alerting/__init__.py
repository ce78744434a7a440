"""Alerting: the life of a finding from when it is opened until it is over, incidents, and the channels by which people hear of them.

In:  findings, as monitors report them
Out: alerts, each delivered once and in order; what people answered (acknowledged, muted, resolved)
"""
