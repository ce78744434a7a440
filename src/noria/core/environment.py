"""Texts whose secrets come from the environment."""

from __future__ import annotations

import os
import re
from typing import Any

from noria.core.errors import UserMistake


def from_environment(value: Any) -> Any:
    """A text with every `${NAME}` taken from the environment, so that secrets stand in no file. Other values as they are."""
    if not isinstance(value, str):
        return value

    def taken(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UserMistake(
                what=f"the environment has no {found[1]}",
                where="a source or a store of the project names it",
                fix=f"set it: export {found[1]}=…",
            )
        return os.environ[found[1]]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", taken, value)
