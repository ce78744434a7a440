"""Protocols: the words on the wire, into rows of features and back. Pure functions, fuzzed; no sockets here."""
