"""Images: the folder from which a container engine builds a server of one bundle.

In:  a verified bundle, an endpoint's name
Out: a build context: Dockerfile, pinned requirements, Noria as a wheel, the bundle, a health check

Nothing here runs a container engine.
"""
