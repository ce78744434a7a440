"""The list of models (https://platform.openai.com/docs/api-reference/models): every endpoint, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


def model(name: str, created: int) -> dict[str, Any]:
    """One endpoint. created: seconds since 1970-01-01 UTC"""
    return {"id": name, "object": "model", "created": created, "owned_by": "noria"}


def encoded(told: Mapping[str, Any]) -> bytes:
    """A small answer as JSON."""
    return msgspec.json.encode(told)


def models(created: Mapping[str, int]) -> bytes:
    """All endpoints, by name."""
    return msgspec.json.encode({"object": "list", "data": [model(name, at) for name, at in created.items()]})
