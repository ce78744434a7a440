"""Proofs of the applications of language models."""
