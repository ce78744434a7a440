"""One seeded randomness: every random choice in Noria draws from a seed derived here, by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Randomness:
    """A root seed and the independent seeds that hang from it.

    Deriving by name (not by order of calls) keeps a seed the same when code around it changes.
    """

    root: int = 0

    def seed(self, name: str) -> int:
        """A 31-bit seed for `name`, for libraries that want an integer."""
        raw = hashlib.sha256(f"{self.root}:{name}".encode()).digest()
        return int.from_bytes(raw[:4], "big") & 0x7FFF_FFFF
