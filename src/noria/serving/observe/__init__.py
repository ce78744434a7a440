"""Observability: what workers measure and tell, cheap enough for every batch."""
