"""Names that an older Noria stored, and what they are called now. Whoever reads what may be older, reads it through here.

Only the keys at hand are renamed, never those below: there may stand names that users gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {"came_in": "rows_in", "went": "rows_out", "mend": "fix", "accepted": "baseline", "words": "summary", "level": "threshold"}


def renamed(found: Mapping[str, Any]) -> dict[str, Any]:
    """A stored mapping by today's names."""
    return {RENAMED.get(name, name): value for name, value in found.items()}
