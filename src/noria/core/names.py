"""Names of what a project declares: they become folders, parts of keys in stores, and words on the command line."""

from __future__ import annotations

import re

from noria.core.errors import UserMistake
from noria.core.sql import RESERVED, reserved

LONGEST = 100
_GOOD = re.compile(r"\w(?:[\w\-. ]*\w)?")  # letters of any alphabet, digits and _; inside, also - . and blanks


class BadName(UserMistake):
    """A name that Noria can't keep things under."""

    code = "NR-216"

    def __init__(self, kind: str, name: str, why: str, fix: str | None = None) -> None:
        self.kind, self.name = kind, name
        usual = "start and end it with a letter, a digit or _; in between, - . and spaces are allowed too"
        super().__init__(what=f"{name!r} is not a valid {kind} name", where=why, fix=fix or usual)


def require_name(kind: str, name: str) -> None:
    """Raise `BadName` unless a table, view or feature set can have this name: `kind` says what it is of."""
    if not isinstance(name, str) or not _GOOD.fullmatch(name):
        raise BadName(kind, name, "it is empty" if name == "" else "it contains a character that is not allowed there")
    if len(name) > LONGEST:
        raise BadName(kind, name, f"it has {len(name)} characters", f"use at most {LONGEST}")
    if reserved(name):
        raise BadName(kind, name, f"names that begin with {RESERVED} are reserved", "choose another name")
