"""Proofs: every promised figure, printed by one command. `make prove AREA=loop`, or all of them without AREA."""
