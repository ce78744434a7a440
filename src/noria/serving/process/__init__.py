"""The processes of a server: a supervisor with its admin port, and workers, each a data plane behind REST and gRPC frontends.

In:  what to serve, who may ask, and connections
Out: answers, heartbeats, and the sums of what was answered
"""
